"""Clicks as the redirect saw them, with their verdicts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from souk.chassis.work import Work
from souk.tracking.store.tables import click

Pair = tuple[UUID, str]


async def insert_new(work: Work, rows: Sequence[Mapping[str, Any]]) -> set[UUID]:
    """The ids of those that were not there yet."""
    if not rows:
        return set()
    added = await work.fetch_all(
        insert(click).values(list(rows)).on_conflict_do_nothing().returning(click.c.id)
    )
    return {row.id for row in added}


async def of_visitors(work: Work, pairs: Collection[Pair]) -> Sequence[Row[Any]]:
    """All clicks of each (link, visitor)."""
    return await work.fetch_all(
        select(click)
        .where(tuple_(click.c.link_id, click.c.visitor).in_(list(pairs)))
        .order_by(click.c.clicked_at, click.c.id)
    )


async def billable_of_visitors(work: Work, pairs: Collection[Pair]) -> Sequence[Row[Any]]:
    return await work.fetch_all(
        select(click.c.link_id, click.c.visitor, click.c.clicked_at).where(
            tuple_(click.c.link_id, click.c.visitor).in_(list(pairs)), click.c.verdict == "billable"
        )
    )


async def set_verdicts(work: Work, verdicts: Mapping[UUID, str]) -> None:
    if verdicts:
        await work.execute(
            update(click).where(click.c.id == bindparam("b_id")).values(verdict=bindparam("b_verdict")),
            [{"b_id": name, "b_verdict": verdict} for name, verdict in sorted(verdicts.items())],
        )


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
