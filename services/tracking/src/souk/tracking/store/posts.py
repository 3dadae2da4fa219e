"""Posts of campaigns and their snapshots."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Row, bindparam, case, literal, null, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.topics.posts import Metrics, Post, PostWarning
from souk.tracking.store.sets import all_among
from souk.tracking.store.tables import post, post_snapshot


def metrics_of(row: Any) -> Metrics:
    """The latest counts of a row of post or content."""
    return Metrics(views=row.views, likes=row.likes, comments=row.comments, shares=row.shares)


def counted_of(row: Any) -> Metrics:
    return Metrics(
        views=row.counted_views,
        likes=row.counted_likes,
        comments=row.counted_comments,
        shares=row.counted_shares,
    )


def latest_columns(metrics: Metrics) -> dict[str, int]:
    return {name: getattr(metrics, name) for name in ("views", "likes", "comments", "shares")}


def counted_columns(metrics: Metrics) -> dict[str, int]:
    return {f"counted_{name}": count for name, count in latest_columns(metrics).items()}


def warnings_of(row: Any) -> tuple[PostWarning, ...]:
    return tuple(PostWarning.model_validate(each) for each in row.warnings)


def warnings_column(warnings: Sequence[PostWarning]) -> list[dict[str, Any]]:
    return [warning.model_dump(mode="json") for warning in warnings]


def post_state(row: Any) -> Post:
    return Post(
        id=row.id,
        version=row.version,
        changed_at=row.changed_at,
        campaign_id=row.campaign_id,
        participation_id=row.participation_id,
        influencer_id=row.influencer_id,
        account_id=row.account_id,
        platform=row.platform,
        external_id=row.external_id,
        url=row.url,
        title=row.title,
        published_at=row.published_at,
        found_at=row.found_at,
        status=row.status,
        counts=row.counts,
        counts_since=row.counts_since,
        reason=row.reason,
        warnings=warnings_of(row),
        latest=metrics_of(row),
        observed_at=row.observed_at,
        counted=counted_of(row),
        approved_at=row.approved_at,
    )


class Place(NamedTuple):
    """Where a post stands in the order that money follows, and whose it is."""

    published_at: datetime
    external_id: str
    id: UUID
    participation_id: UUID


async def places(
    work: Work, after: Place | None, limit: int, *conditions: ColumnElement[bool]
) -> list[Place]:
    """The next posts that meet the conditions, without a lock."""
    order = (post.c.published_at, post.c.external_id, post.c.id)
    query = select(*order, post.c.participation_id).where(*conditions).order_by(*order).limit(limit)
    if after is not None:
        query = query.where(tuple_(*order) > after[:3])
    return [
        Place(row.published_at, row.external_id, row.id, row.participation_id)
        for row in await work.fetch_all(query)
    ]


async def lock(work: Work, *conditions: Any) -> list[Row[Any]]:
    """Lock the posts that meet the conditions, by id; returned in the order that money follows."""
    rows = await work.fetch_all(select(post).where(*conditions).order_by(post.c.id).with_for_update())
    return sorted(rows, key=lambda row: (row.published_at, row.external_id, row.id))


async def lock_of_content(work: Work, keys: Collection[tuple[UUID, str]]) -> list[Row[Any]]:
    return await lock(work, all_among([post.c.account_id, post.c.external_id], keys))


async def insert_new(work: Work, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        await work.execute(insert(post), list(rows))


async def save(work: Work, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write locked posts as their next versions. Rows hold `id` and any of the columns; all the same."""
    if not rows:
        return
    columns = [name for name in rows[0] if name != "id"]
    await work.execute(
        update(post)
        .where(post.c.id == bindparam("b_id"))
        .values(
            {name: bindparam(name, type_=post.c[name].type) for name in columns}
            | {"version": post.c.version + 1, "changed_at": work.now}
        ),
        [{"b_id": row["id"], **{name: row[name] for name in columns}} for row in rows],
    )


async def flip_counts(work: Work, ids: Collection[UUID], bumped: Collection[UUID]) -> None:
    """Have locked posts count that did not, and the other way round, as their next versions.

    bumped: those that are at their next version already.
    """
    if not ids:
        return
    already = among(post.c.id, bumped)
    await work.execute(
        update(post)
        .where(among(post.c.id, ids))
        .values(
            counts=~post.c.counts,
            counts_since=case((post.c.counts, null()), else_=work.now),
            version=post.c.version + case((already, literal(0)), else_=literal(1)),
            changed_at=work.now,
        )
    )


async def read(work: Work, ids: Collection[UUID]) -> list[Row[Any]]:
    """Posts by id, in the order that money follows."""
    return list(
        await work.fetch_all(
            select(post)
            .where(among(post.c.id, ids))
            .order_by(post.c.published_at, post.c.external_id, post.c.id)
        )
    )


async def add_snapshots(work: Work, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        await work.execute(insert(post_snapshot).on_conflict_do_nothing(), list(rows))


async def republished(work: Work, after: UUID | None, limit: int) -> list[Post]:
    query = select(post).order_by(post.c.id).limit(limit).with_for_update()
    if after is not None:
        query = query.where(post.c.id > after)
    return [post_state(row) for row in await work.fetch_all(query)]
