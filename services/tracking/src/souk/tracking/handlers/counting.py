"""Which of a participation's posts counts, after anything about them changed (domain.md §4)."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.tracking.domain.posts import Standing, counting
from souk.tracking.store import copies
from souk.tracking.store import posts as store
from souk.tracking.store.tables import post


def publish(work: Work, told: Iterable[tuple[str, Row[Any]]]) -> None:
    """Publish posts with their events: those that don't count first, else in the given order.

    What stops counting frees the budget that what begins to count in its place needs: the other way round
    billing would refuse for good what the budget holds.
    """
    for event, row in sorted(told, key=lambda each: each[1].counts):
        work.publish(event, store.post_state(row))


async def recount(work: Work, participations: Collection[UUID], bumped: Collection[UUID]) -> set[UUID]:
    """Set `counts` and `counts_since` anew for the posts of these participations, locked by the caller.

    bumped: posts that this unit already made a new version of: they get no further one. Returns the other
    posts that changed, at their next version; the caller publishes all of them.
    """
    rows: list[Row[Any]] = (
        await store.lock(work, among(post.c.participation_id, participations)) if participations else []
    )
    multi = await copies.multi_posting(work, {row.campaign_id for row in rows})
    by_participation: dict[UUID, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        by_participation[row.participation_id].append(row)
    flipped: set[UUID] = set()
    for posts in by_participation.values():
        standings = [
            Standing(row.id, row.published_at, row.external_id, row.status, row.counts) for row in posts
        ]
        counted = counting(standings, multi_posting=multi[posts[0].campaign_id])
        flipped |= {row.id for row in posts if row.counts != (row.id in counted)}
    await store.flip_counts(work, flipped, bumped)
    return flipped - set(bumped)
