"""What became of whole campaigns, told to those who took part at that instant."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Row,
    Text,
    Uuid,
    and_,
    cast,
    column,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import array, insert

from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.notify.domain.definitions import DEFINITIONS, Kind
from souk.notify.domain.notices import NEWS, Exhaustion, instant
from souk.notify.store.deliveries import Source
from souk.notify.store.tables import campaign, occasion, participation

_CHUNK = 5_000
_KINDS: tuple[Kind, ...] = ("campaign.over_budget", "campaign.finished")
_PAIRS = [(kind, channel) for kind in _KINDS for channel in DEFINITIONS[kind].channels]


async def record_exhaustions(work: Work, exhaustions: Sequence[Exhaustion]) -> None:
    """Keep them until `accept`; their campaigns are locked. One that is there already changes nothing."""
    rows = {
        (one.campaign_id, instant(one.at)): {
            "campaign_id": one.campaign_id,
            "kind": "campaign.over_budget",
            "occurrence": instant(one.at),
            "at": one.at,
            "budget_version": one.budget_version,
            "told": False,
        }
        for one in exhaustions
    }
    if rows:
        ordered = [rows[key] for key in sorted(rows)]
        await work.execute(insert(occasion).on_conflict_do_nothing(), ordered)


async def accept(work: Work, campaigns: Sequence[UUID]) -> Sequence[Row[Any]]:
    """Judge what is kept of these campaigns, as far as they are known; the occasions to tell.

    An exhaustion of an older budget than the campaign's is void, as is one past the campaign's end
    (finished goes before over budget).
    """
    ours = and_(
        among(occasion.c.campaign_id, campaigns),
        campaign.c.id == occasion.c.campaign_id,
        campaign.c.version > 0,
        occasion.c.told.is_(False),
    )
    valid = and_(
        occasion.c.budget_version >= campaign.c.budget_version,
        or_(campaign.c.ends_at.is_(None), occasion.c.at < campaign.c.ends_at),
    )
    told = await work.fetch_all(update(occasion).where(ours, valid).values(told=True).returning(occasion))
    await work.execute(delete(occasion).where(ours))
    return told


async def record_finish(work: Work, campaign_id: UUID, at: datetime) -> Row[Any] | None:
    """Note that the campaign ended at `at`; the occasion, None when it was noted before."""
    return await work.fetch_one(
        insert(occasion)
        .values(campaign_id=campaign_id, kind="campaign.finished", occurrence="", at=at, told=True)
        .on_conflict_do_nothing()
        .returning(occasion)
    )


def of_participations(participations: Sequence[UUID], now: datetime) -> Source:
    """What these participants are told of what became of their campaigns."""
    ways = (
        func.unnest(
            literal([kind for kind, _ in _PAIRS], ARRAY(Text)),
            literal([way for _, way in _PAIRS], ARRAY(Text)),
        )
        .table_valued(column("kind", Text), column("channel", Text))
        .render_derived("ways")
    )
    one: Any = cast(array([occasion.c.campaign_id]), ARRAY(Uuid))
    return (
        select(
            occasion.c.kind,
            ways.c.channel,
            participation.c.influencer_id,
            cast(occasion.c.campaign_id, Text).label("subject"),
            occasion.c.occurrence,
            one.label("subject_ids"),
            one.label("campaign_ids"),
        )
        .join_from(occasion, participation, participation.c.campaign_id == occasion.c.campaign_id)
        .join(ways, ways.c.kind == occasion.c.kind)
        .where(
            among(participation.c.id, participations),
            occasion.c.told,
            occasion.c.at > now - NEWS,
            participation.c.joined_at <= occasion.c.at,
            or_(participation.c.withdrawn_at.is_(None), participation.c.withdrawn_at > occasion.c.at),
        )
    )


async def participants(work: Work, campaign_id: UUID, after: UUID, limit: int) -> Sequence[Row[Any]]:
    """The next `limit` participations (id, influencer_id) that were ever joined, by id."""
    return await work.fetch_all(
        select(participation.c.id, participation.c.influencer_id)
        .where(
            participation.c.campaign_id == campaign_id,
            participation.c.joined_at.is_not(None),
            participation.c.id > after,
        )
        .order_by(participation.c.id)
        .limit(limit)
    )


async def remove_old(work: Work, now: datetime) -> int:
    """Delete at most 5,000 occasions that are no news any more; how many it were."""
    old = (
        select(occasion.c.campaign_id, occasion.c.kind, occasion.c.occurrence)
        .where(occasion.c.at < now - NEWS)
        .order_by(occasion.c.at)
        .limit(_CHUNK)
        .cte("old")
    )
    same = and_(*(occasion.c[name] == old.c[name] for name in ("campaign_id", "kind", "occurrence")))
    return (await work.execute(delete(occasion).where(same))).rowcount
