"""From something to tell to deliveries: made, decided, published, and their sending asked for."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, Text, Uuid, bindparam, case, cast, column, func, literal_column, select

from souk.chassis.work import Work
from souk.contracts.topics.deliveries import Channel
from souk.notify.domain.definitions import DEFINITIONS
from souk.notify.domain.notices import Notice
from souk.notify.store import copies, deliveries

SEND: dict[Channel, str] = {"email": "deliveries.email", "push": "deliveries.push"}
"""Timers by channel, of a kind each: one that waits for its server doesn't hold up the other."""
ALL = "all"


async def tell(work: Work, notices: Sequence[Notice]) -> None:
    """Make the deliveries of `notices`; one that was told before makes none."""
    if not notices:
        return
    await copies.lock_contacts(work, {notice.influencer_id for notice in notices})
    await copies.lock_campaigns(work, {n.campaign_id for n in notices if n.campaign_id is not None})
    await make(work, _source(notices))


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


def _source(notices: Sequence[Notice]) -> deliveries.Source:
    told = [(notice, channel) for notice in notices for channel in DEFINITIONS[notice.kind].channels]
    one = (
        func.unnest(
            bindparam("kinds", [notice.kind for notice, _ in told], type_=ARRAY(Text)),
            bindparam("channels", [channel for _, channel in told], type_=ARRAY(Text)),
            bindparam("influencers", [notice.influencer_id for notice, _ in told], type_=ARRAY(Uuid)),
            bindparam("subjects", [notice.subject for notice, _ in told], type_=ARRAY(Uuid)),
            bindparam("campaigns", [notice.campaign_id for notice, _ in told], type_=ARRAY(Uuid)),
            bindparam("occurrences", [notice.occurrence for notice, _ in told], type_=ARRAY(Text)),
        )
        .table_valued(
            column("kind", Text),
            column("channel", Text),
            column("influencer_id", Uuid),
            column("subject", Uuid),
            column("campaign_id", Uuid),
            column("occurrence", Text),
        )
        .render_derived("one")
    )
    subject_ids: Any = literal_column("ARRAY[one.subject]", ARRAY(Uuid))
    campaign_ids: Any = case(
        (one.c.campaign_id.is_(None), literal_column("'{}'::uuid[]", ARRAY(Uuid))),
        else_=literal_column("ARRAY[one.campaign_id]", ARRAY(Uuid)),
    )
    return select(
        one.c.kind,
        one.c.channel,
        one.c.influencer_id,
        cast(one.c.subject, Text).label("subject"),
        one.c.occurrence,
        subject_ids.label("subject_ids"),
        campaign_ids.label("campaign_ids"),
    )
