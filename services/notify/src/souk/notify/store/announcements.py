"""Announcements that arrived, until each of their recipients has his deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Row,
    Text,
    Uuid,
    cast,
    column,
    delete,
    func,
    literal,
    literal_column,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import array, insert

from souk.chassis.sets import among
from souk.chassis.store import copy_rows
from souk.chassis.work import Work
from souk.contracts.topics.announcements import Announcement
from souk.notify.domain.definitions import DEFINITIONS, Kind
from souk.notify.store.deliveries import Source
from souk.notify.store.tables import announcement, recipient

_CHUNK = 5_000


async def receive(work: Work, parts: Sequence[Announcement], news: Sequence[Announcement]) -> bool:
    """Keep the parts that are new, with recipients those that are news; whether there were such."""
    if not parts:
        return False
    open_ids = {part.id for part in news}
    rows = {
        part.id: {
            "id": part.id,
            "occasion": part.occasion,
            "day": part.day,
            "made_at": part.changed_at,
            "delivered": part.id not in open_ids,
        }
        for part in parts
    }
    new = set(
        (
            await work.execute(
                insert(announcement)
                .values([rows[one] for one in sorted(rows)])
                .on_conflict_do_nothing()
                .returning(announcement.c.id)
            )
        ).scalars()
    )
    by_id = {part.id: part for part in news if part.id in new}
    await copy_rows(
        work,
        recipient,
        [
            {"announcement_id": part.id, "influencer_id": influencer_id, "campaign_ids": campaign_ids}
            for part in by_id.values()
            for influencer_id, campaign_ids in _merged(part).items()
        ],
    )
    return bool(by_id)


def _merged(part: Announcement) -> dict[UUID, list[UUID]]:
    found: dict[UUID, dict[UUID, None]] = {}
    for one in part.recipients:
        found.setdefault(one.influencer_id, {}).update(dict.fromkeys(one.campaign_ids))
    return {influencer_id: list(campaigns) for influencer_id, campaigns in found.items() if campaigns}


async def open_parts(work: Work) -> Sequence[Row[Any]]:
    """The announcements that still have recipients to tell, the oldest first."""
    return await work.fetch_all(
        select(announcement)
        .where(announcement.c.delivered.is_(False))
        .order_by(announcement.c.made_at, announcement.c.id)
        .limit(_CHUNK)
    )


async def take_recipients(work: Work, announcement_id: UUID, limit: int) -> Sequence[Row[Any]]:
    """At most `limit` recipients who have no deliveries yet, locked; none: the announcement is delivered."""
    taken = await work.fetch_all(
        select(recipient)
        .where(recipient.c.announcement_id == announcement_id)
        .order_by(recipient.c.influencer_id)
        .limit(limit)
        .with_for_update()
    )
    if not taken:
        await work.execute(
            update(announcement).where(announcement.c.id == announcement_id).values(delivered=True)
        )
    return taken


def deliveries_of(part: Any, influencers: Sequence[UUID]) -> Source:
    """What the recipients of an announcement are told: mail lists all campaigns, the rest is one each."""
    kind: Kind = "campaign.started" if part.occasion == "started" else "campaign.upcoming"
    channels = DEFINITIONS[kind].channels
    told = (
        select(recipient.c.influencer_id, recipient.c.campaign_ids)
        .where(
            recipient.c.announcement_id == part.id,
            among(recipient.c.influencer_id, influencers),
        )
        .cte("told")
    )
    each = func.unnest(told.c.campaign_ids).table_valued(column("id", Uuid)).render_derived("each")
    singles = [channel for channel in channels if channel != "email"]
    channel = (
        func.unnest(literal(singles, ARRAY(Text))).table_valued(column("name", Text)).render_derived("way")
    )
    nothing = literal_column("''", Text)
    one = cast(array([each.c.id]), ARRAY(Uuid))
    per_campaign = select(
        literal(kind, Text).label("kind"),
        channel.c.name.label("channel"),
        told.c.influencer_id,
        cast(each.c.id, Text).label("subject"),
        nothing.label("occurrence"),
        one.label("subject_ids"),
        one.label("campaign_ids"),
    ).select_from(told.join(each, true()).join(channel, true()))
    if "email" not in channels:
        return per_campaign
    listing = select(
        literal(kind, Text),
        literal("email", Text),
        told.c.influencer_id,
        literal(part.day.isoformat(), Text),
        nothing,
        told.c.campaign_ids,
        told.c.campaign_ids,
    )
    both = union_all(per_campaign, listing).subquery("both")
    return select(*both.c)


async def remove_recipients(work: Work, announcement_id: UUID, influencers: Sequence[UUID]) -> None:
    await work.execute(
        delete(recipient).where(
            recipient.c.announcement_id == announcement_id,
            among(recipient.c.influencer_id, influencers),
        )
    )


async def remove_old(work: Work, before: datetime) -> int:
    """Delete at most 5,000 delivered announcements made before then; how many it were."""
    old = (
        select(announcement.c.id)
        .where(announcement.c.made_at < before, announcement.c.delivered)
        .order_by(announcement.c.made_at)
        .limit(_CHUNK)
        .cte("old")
    )
    return (await work.execute(delete(announcement).where(announcement.c.id == old.c.id))).rowcount
