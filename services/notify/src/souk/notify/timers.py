"""Due work → handlers."""

from collections.abc import Mapping

from souk.chassis.timers import Timers
from souk.contracts.topics.deliveries import Channel
from souk.notify.channels.outlet import Outlet
from souk.notify.handlers import announcements, campaigns, retention, sending, telling


def timers_of(outlets: Mapping[Channel, Outlet]) -> Timers:
    """The service's timers, sending on these channels."""
    timers = Timers()
    timers.on(campaigns.ENDS)(campaigns.finish)
    timers.job(campaigns.TELL)(campaigns.tell_participants)
    timers.job(announcements.DELIVER)(announcements.deliver)
    for channel, kind in telling.SEND.items():
        timers.job(kind)(sending.sender(channel, outlets.get(channel)))
    timers.job(retention.RETENTION)(retention.remove_old)
    return timers
