"""From something to tell to deliveries: made, decided, published, and their sending asked for."""

from collections.abc import Sequence
from typing import Any

from souk.chassis.work import Work
from souk.contracts.topics.deliveries import Channel
from souk.notify.domain.notices import Notice, is_news
from souk.notify.store import copies, deliveries
from souk.notify.store.notices import of_notices

SEND: dict[Channel, str] = {"email": "deliveries.email", "push": "deliveries.push"}
"""Timers by channel, of a kind each: one that waits for its server doesn't hold up the other."""
ALL = "all"


async def tell(work: Work, notices: Sequence[Notice]) -> None:
    """Make the deliveries of those `notices` that are news; one that was told before makes none."""
    news = [notice for notice in notices if is_news(notice.at, work.now)]
    if not news:
        return
    await copies.lock_contacts(work, {notice.influencer_id for notice in news})
    await copies.lock_campaigns(work, {n.campaign_id for n in news if n.campaign_id is not None})
    await make(work, of_notices(news))


async def make(work: Work, source: deliveries.Source) -> None:
    """Make the deliveries that `source` names; their contacts and campaigns are locked."""
    await pass_on(work, await deliveries.make(work, source))


async def pass_on(work: Work, rows: Sequence[Any]) -> None:
    """Publish those of the changed deliveries that are final, and have the pending ones sent."""
    for status in deliveries.FINAL:
        if states := [deliveries.delivery_state(row) for row in rows if row.status == status]:
            work.publish(f"delivery.{status}", *states)
    for channel in sorted({row.channel for row in rows if row.status == "pending"}):
        ask_to_send(work, channel)


def ask_to_send(work: Work, channel: Channel) -> None:
    work.schedule(SEND[channel], ALL, work.now)
