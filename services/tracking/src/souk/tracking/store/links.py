"""Tracking links and their cumulative counts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Row, Uuid, any_, bindparam, func, select, update

from souk.chassis.prepared import Found, Prepared
from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.topics.links import Link
from souk.tracking.store.sets import arrays, insert_absent, taken
from souk.tracking.store.tables import campaign, link, participation

COUNTS = ("billable", "bot", "duplicate", "outside_period", "reversed")

_IDS = bindparam("ids", type_=ARRAY(Uuid))
_HOLD = Prepared(select(link.c.id).where(link.c.id == any_(_IDS)).order_by(link.c.id).with_for_update())
_PERIODS = Prepared(
    select(link.c.id, campaign.c.starts_at, campaign.c.ends_at, participation.c.withdrawn_at)
    .join_from(link, campaign, campaign.c.id == link.c.campaign_id)
    .join(participation, participation.c.id == link.c.participation_id)
    .where(link.c.id == any_(_IDS), link.c.slug.is_not(None))
)
_MOVED = [link.c[name] for name in ("id", "last_click_at", "changed_at", *COUNTS)]
_moved = taken(_MOVED)
_ADD_COUNTS = Prepared(
    update(link)
    .where(link.c.id == _moved.c.id)
    .values(
        {name: link.c[name] + _moved.c[name] for name in COUNTS}
        | {
            "last_click_at": func.greatest(link.c.last_click_at, _moved.c.last_click_at),
            "version": link.c.version + 1,
            "changed_at": _moved.c.changed_at,
        }
    )
    .returning(link)
)


def link_state(row: Any) -> Link:
    return Link(
        id=row.id,
        version=row.version,
        changed_at=row.changed_at,
        campaign_id=row.campaign_id,
        participation_id=row.participation_id,
        influencer_id=row.influencer_id,
        slug=row.slug,
        url=row.url,
        landing_url=row.landing_url,
        active=row.active,
        billable=row.billable,
        bot=row.bot,
        duplicate=row.duplicate,
        outside_period=row.outside_period,
        reversed=row.reversed,
        last_click_at=row.last_click_at,
    )


async def expect(work: Work, rows: Sequence[Mapping[str, Any]]) -> None:
    """Make placeholders (version 0) of links that are not there."""
    await insert_absent(work, link, rows)


async def hold(work: Work, rows: Sequence[Mapping[str, Any]]) -> None:
    """Lock the links with the ids of `rows`, which are placeholders of those that are not there."""
    wanted = {"ids": [row["id"] for row in rows]}
    if len(await work.run(_HOLD, wanted)) < len(rows):
        await expect(work, rows)
        await work.run(_HOLD, wanted)


async def lock(work: Work, *conditions: Any) -> list[Row[Any]]:
    return list(await work.fetch_all(select(link).where(*conditions).order_by(link.c.id).with_for_update()))


async def taking_part(
    work: Work,
    campaigns: Collection[UUID],
    participations: Collection[UUID] | None,
    after: UUID | None,
    limit: int | None,
) -> Sequence[Row[Any]]:
    """Who has or had joined these campaigns of type `url`, by id and after the given one.

    participations: only these; None for all of them.
    """
    query = (
        select(
            participation.c.id,
            participation.c.influencer_id,
            participation.c.campaign_id,
            participation.c.state,
            campaign.c.landing_url,
        )
        .join_from(participation, campaign, campaign.c.id == participation.c.campaign_id)
        .where(
            among(campaign.c.id, campaigns),
            campaign.c.type == "url",
            participation.c.state.in_(("joined", "withdrawn")),
        )
        .order_by(participation.c.id)
        .limit(limit)
    )
    if participations is not None:
        query = query.where(among(participation.c.id, participations))
    if after is not None:
        query = query.where(participation.c.id > after)
    return await work.fetch_all(query)


async def periods(work: Work, ids: Collection[UUID]) -> list[Found]:
    """Start and end of the campaign, and withdrawal, of those links whose parts are all there."""
    return await work.run(_PERIODS, {"ids": list(ids)})


async def slugs_taken(work: Work, slugs: Collection[str]) -> set[str]:
    return {row.slug for row in await work.fetch_all(select(link.c.slug).where(among(link.c.slug, slugs)))}


async def save(work: Work, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write locked links as their next versions; rows hold `id` and the same columns each."""
    if not rows:
        return
    columns = [name for name in rows[0] if name != "id"]
    await work.execute(
        update(link)
        .where(link.c.id == bindparam("b_id"))
        .values(
            {name: bindparam(name, type_=link.c[name].type) for name in columns}
            | {"version": link.c.version + 1, "changed_at": work.now}
        ),
        [{"b_id": row["id"], **{name: row[name] for name in columns}} for row in rows],
    )


async def add_counts(
    work: Work, deltas: Mapping[UUID, Mapping[str, int]], last: Mapping[UUID, datetime]
) -> list[Found]:
    """Add to the counts of locked links and make their next versions; those, by id."""
    if not deltas:
        return []
    rows = [
        (name, last.get(name), work.now, *(delta[count] for count in COUNTS))
        for name, delta in deltas.items()
    ]
    return sorted(await work.run(_ADD_COUNTS, arrays(_MOVED, rows)), key=lambda row: row.id)


async def read(work: Work, ids: Collection[UUID]) -> Sequence[Row[Any]]:
    return await work.fetch_all(select(link).where(among(link.c.id, ids)).order_by(link.c.id))


async def republished(work: Work, after: UUID | None, limit: int) -> list[Link]:
    query = select(link).where(link.c.version > 0).order_by(link.c.id).limit(limit).with_for_update()
    if after is not None:
        query = query.where(link.c.id > after)
    return [link_state(row) for row in await work.fetch_all(query)]
