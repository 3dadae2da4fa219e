"""The composition root of the notify service."""

from collections.abc import Sequence
from email.utils import parseaddr
from uuid import UUID

from souk.chassis.commands import commands
from souk.chassis.process import Parts, Service
from souk.chassis.work import Work
from souk.contracts.state import State
from souk.contracts.topics.deliveries import DELIVERIES, Channel
from souk.notify.api import deliveries as deliveries_api
from souk.notify.api import notifications as notifications_api
from souk.notify.api.unsubscribe import unsubscribe_routes
from souk.notify.channels.mail import Composer
from souk.notify.channels.outlet import Outlet
from souk.notify.channels.smtp import MailOutlet, read_server
from souk.notify.channels.webpush import PushOutlet, read_key
from souk.notify.settings import NotifySettings
from souk.notify.store import copies, deliveries
from souk.notify.subscriptions import intake
from souk.notify.timers import timers_of


def build(settings: NotifySettings) -> Parts:
    """Raises ValueError for an SMTP server or VAPID key that can't be read."""
    secret = settings.unsubscribe_secret.get_secret_value().encode()
    outlets = outlets_of(settings, secret)
    return Parts(
        routers=[notifications_api.routes, deliveries_api.routes, unsubscribe_routes(secret)],
        intake=intake,
        timers=timers_of(outlets),
        republishers={DELIVERIES: published_deliveries},
        permissions_of=copies.levels_of,
        closers=[outlet.close for outlet in outlets.values()],
    )


def outlets_of(settings: NotifySettings, secret: bytes) -> dict[Channel, Outlet]:
    """The channels that the settings name."""
    outlets: dict[Channel, Outlet] = {}
    if server := settings.smtp.get_secret_value():
        outlets["email"] = MailOutlet(
            read_server(server),
            Composer(settings.mail_from),
            sender=parseaddr(settings.mail_from)[1],
            link=f"{settings.public_url.rstrip('/')}/unsubscribe/",
            secret=secret,
            connections=settings.smtp_connections,
        )
    if key := settings.push_vapid_key.get_secret_value():
        trusted = {origin for one in settings.push_allowed.split(",") if (origin := one.strip().rstrip("/"))}
        outlets["push"] = PushOutlet(read_key(key), settings.push_subject, trusted)
    return outlets


async def published_deliveries(work: Work, after: UUID | None, limit: int) -> Sequence[State]:
    return [deliveries.delivery_state(row) for row in await deliveries.finals(work, after, limit)]


SERVICE = Service("notify", NotifySettings, build)

main = commands(SERVICE)
