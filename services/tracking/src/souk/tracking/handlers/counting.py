"""Which of a participation's posts counts, after anything about them changed (domain.md §4)."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Row, case, literal, null, select, update

from souk.chassis.work import Work
from souk.tracking.domain.posts import Standing, counting
from souk.tracking.store import posts as store
from souk.tracking.store.sets import among
from souk.tracking.store.tables import campaign, post


async def recount(work: Work, participations: Collection[UUID], bumped: Collection[UUID]) -> set[UUID]:
    """Set `counts` and `counts_since` anew for the posts of these participations, locked by the caller.

    bumped: posts that this unit already made a new version of: they get no further one. Returns the other
    posts that changed, at their next version; the caller publishes all of them.
    """
    rows: list[Row[Any]] = (
        await store.lock(work, among(post.c.participation_id, participations)) if participations else []
    )
    multi = {
        row.id: row.multi_posting
        for row in await work.fetch_all(
            select(campaign.c.id, campaign.c.multi_posting).where(
                among(campaign.c.id, {row.campaign_id for row in rows})
            )
        )
    }
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
    if flipped:
        already = among(post.c.id, bumped)
        await work.execute(
            update(post)
            .where(among(post.c.id, flipped))
            .values(
                counts=~post.c.counts,
                counts_since=case((post.c.counts, null()), else_=work.now),
                version=post.c.version + case((already, literal(0)), else_=literal(1)),
                changed_at=work.now,
            )
        )
    return flipped - set(bumped)
