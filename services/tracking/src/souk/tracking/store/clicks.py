"""Clicks as the redirect saw them, with their verdicts."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Row,
    Uuid,
    and_,
    any_,
    bindparam,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from souk.chassis.prepared import Found, Prepared
from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.topics.clicks import Click
from souk.tracking.store.sets import arrays, given, taken
from souk.tracking.store.tables import campaign, click, link, participation

Pair = tuple[UUID, str]


_KNOWN = Prepared(select(click.c.id).where(click.c.id == any_(bindparam("ids", type_=ARRAY(Uuid)))))
_NEW = [
    click.c[name]
    for name in ("id", "link_id", "campaign_id", "participation_id", "visitor", "bot", "referrer",
                 "clicked_at", "verdict")
]  # fmt: skip
_INSERT = Prepared(insert(click).from_select(_NEW, select(taken(_NEW))))
_PAIR = [click.c.link_id, click.c.visitor]
_pairs = taken(_PAIR)
_DECIDING = Prepared(
    select(click.c.link_id, click.c.visitor, click.c.clicked_at, click.c.verdict)
    .join(_pairs, and_(click.c.link_id == _pairs.c.link_id, click.c.visitor == _pairs.c.visitor))
    .where(or_(click.c.verdict == "billable", click.c.verdict.is_(None)))
)


async def known(work: Work, ids: Collection[UUID]) -> set[UUID]:
    """Those of `ids` that are there."""
    return {row.id for row in await work.run(_KNOWN, {"ids": list(ids)})}


async def insert_new(work: Work, judged: Iterable[tuple[Click, str | None]]) -> None:
    """Store clicks that are not known, with their verdicts; their links are locked."""
    rows = [
        (each.id, each.link_id, each.campaign_id, each.participation_id, each.visitor, each.agent == "bot",
         each.referrer, each.changed_at, verdict)
        for each, verdict in judged
    ]  # fmt: skip
    if rows:
        await work.run(_INSERT, arrays(_NEW, rows))


async def of_visitors(work: Work, pairs: Collection[Pair]) -> Sequence[Row[Any]]:
    """All clicks of each (link, visitor)."""
    asked = _given(pairs)
    return await work.fetch_all(
        select(click)
        .join(asked, and_(click.c.link_id == asked.c.link_id, click.c.visitor == asked.c.visitor))
        .order_by(click.c.clicked_at, click.c.id)
    )


async def deciding_of_visitors(work: Work, pairs: Collection[Pair]) -> list[Found]:
    """Of each (link, visitor) the clicks on which the verdict of another one depends: those that are
    billable, and those that have no verdict yet."""
    return await work.run(_DECIDING, arrays(_PAIR, list(pairs))) if pairs else []


def _given(pairs: Collection[Pair]) -> FromClause:
    return given(_PAIR, [{"link_id": of, "visitor": visitor} for of, visitor in pairs])


async def unfit(work: Work, some: ColumnElement[bool], after: Pair | None, limit: int) -> list[Pair]:
    """The next (link, visitor) of whose clicks one has no verdict, or none that fits the link's period.

    some: which clicks. Those whose link isn't made yet are left out.
    """
    inside = and_(
        campaign.c.starts_at.is_not(None),
        campaign.c.ends_at.is_not(None),
        click.c.clicked_at >= campaign.c.starts_at,
        click.c.clicked_at < campaign.c.ends_at,
        or_(participation.c.withdrawn_at.is_(None), click.c.clicked_at < participation.c.withdrawn_at),
    )
    query = (
        select(click.c.link_id, click.c.visitor)
        .join_from(click, campaign, campaign.c.id == click.c.campaign_id)
        .join(participation, participation.c.id == click.c.participation_id)
        .join(link, link.c.id == click.c.link_id)
        .where(
            some,
            link.c.slug.is_not(None),
            or_(
                click.c.verdict.is_(None),
                and_(click.c.verdict == "outside_period", inside),
                and_(click.c.verdict.in_(("billable", "duplicate")), ~inside),
            ),
        )
        .distinct()
        .order_by(click.c.link_id, click.c.visitor)
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(click.c.link_id, click.c.visitor) > after)
    return [(row.link_id, row.visitor) for row in await work.fetch_all(query)]


async def set_reversed(work: Work, ids: Collection[UUID], taken_back: bool) -> Sequence[Row[Any]]:
    """Mark billable clicks; link and verdict of those that were not marked so before."""
    return await work.fetch_all(
        update(click)
        .where(among(click.c.id, ids), click.c.reversed != taken_back, click.c.verdict == "billable")
        .values(reversed=taken_back)
        .returning(click.c.link_id, click.c.verdict)
    )


async def set_verdicts(work: Work, verdicts: Mapping[UUID, str]) -> None:
    if verdicts:
        changed = given(
            [click.c.id, click.c.verdict],
            [{"id": name, "verdict": verdict} for name, verdict in verdicts.items()],
        )
        await work.execute(update(click).where(click.c.id == changed.c.id).values(verdict=changed.c.verdict))


async def count_by_verdict(work: Work, campaign_id: UUID, *conditions: Any) -> dict[str, int]:
    rows = await work.fetch_all(
        select(click.c.verdict, click.c.reversed, func.count().label("total"))
        .where(click.c.campaign_id == campaign_id, click.c.verdict.is_not(None), *conditions)
        .group_by(click.c.verdict, click.c.reversed)
    )
    counts: dict[str, int] = {}
    for row in rows:
        name = "reversed" if row.reversed and row.verdict == "billable" else row.verdict
        counts[name] = counts.get(name, 0) + row.total
    return counts


async def remove_older(work: Work, than: datetime, limit: int) -> int:
    """Delete at most `limit` clicks, the oldest first; their links' cumulative counts stay."""
    old = select(click.c.id).where(click.c.clicked_at < than).order_by(click.c.clicked_at).limit(limit)
    result = await work.execute(delete(click).where(click.c.id.in_(old)))
    return int(result.rowcount)
