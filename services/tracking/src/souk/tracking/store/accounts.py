"""Social accounts and what is known of how far they were read."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.topics.accounts import Account
from souk.tracking.store.tables import account, campaign, content, follower_snapshot, participation


def account_state(row: Any) -> Account:
    return Account(
        id=row.id,
        version=row.version,
        changed_at=row.changed_at,
        influencer_id=row.influencer_id,
        platform=row.platform,
        external_id=row.external_id,
        handle=row.handle,
        followers=row.followers,
        usual_likes=row.usual_likes,
        connection=row.connection,
        connected_at=row.connected_at,
    )


async def insert_new(work: Work, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those whose (platform, external_id) is not there yet."""
    if rows:
        await work.execute(insert(account).on_conflict_do_nothing(), list(rows))


async def lock_by_external(work: Work, platform: str, externals: Collection[str]) -> Sequence[Row[Any]]:
    return await work.fetch_all(
        select(account)
        .where(account.c.platform == platform, among(account.c.external_id, externals))
        .order_by(account.c.id)
        .with_for_update()
    )


async def lock_connected(work: Work, ids: Collection[UUID]) -> Sequence[Row[Any]]:
    """Those that are connected still: an erasure may have come while the platform was asked."""
    return await work.fetch_all(
        select(account)
        .where(among(account.c.id, ids), account.c.connection == "connected")
        .order_by(account.c.id)
        .with_for_update()
    )


async def lock_of_influencers(work: Work, people: Collection[UUID]) -> Sequence[Row[Any]]:
    return await work.fetch_all(
        select(account).where(among(account.c.influencer_id, people)).order_by(account.c.id).with_for_update()
    )


async def change(work: Work, who: UUID, values: Mapping[str, Any]) -> Row[Any]:
    """Write a locked account's published columns as its next version."""
    row = await work.fetch_one(
        update(account)
        .where(account.c.id == who)
        .values(**values, version=account.c.version + 1, changed_at=work.now)
        .returning(account)
    )
    assert row is not None
    return row


async def note(work: Work, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write what is not published; rows hold `b_id` and the same columns each."""
    if not rows:
        return
    columns = [name for name in rows[0] if name != "b_id"]
    await work.execute(
        update(account)
        .where(account.c.id == bindparam("b_id"))
        .values({name: bindparam(name) for name in columns}),
        list(rows),
    )


async def add_follower_snapshots(work: Work, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        await work.execute(insert(follower_snapshot).on_conflict_do_nothing(), list(rows))


@dataclass(frozen=True, slots=True)
class Due:
    """An account that a poll asks about.

    since: earliest start of the campaigns for which its content is searched; None when it is only asked
    for its followers.
    """

    id: UUID
    external_id: str
    uploads: str | None
    video_count: int | None
    listed_to: datetime | None
    since: datetime | None


FOLLOWERS_EVERY = timedelta(days=7)


async def due(work: Work, platform: str, at: datetime) -> list[Due]:
    """Connected accounts that the poll of `at` has still to ask, by external id.

    Content is searched while a campaign that tracks posts runs, and once after its end. Accounts without
    such a campaign are asked for their followers once a week.
    """
    searched = (
        select(participation.c.account_id, func.min(campaign.c.starts_at).label("since"))
        .join_from(participation, campaign, campaign.c.id == participation.c.campaign_id)
        .join(account, account.c.id == participation.c.account_id)
        .where(
            participation.c.state == "joined",
            campaign.c.tracks_posts,
            campaign.c.approved,
            campaign.c.starts_at <= at,
            or_(account.c.listed_at.is_(None), campaign.c.ends_at > account.c.listed_at),
        )
        .group_by(participation.c.account_id)
        .subquery()
    )
    rows = await work.fetch_all(
        select(
            account.c.id,
            account.c.external_id,
            account.c.uploads,
            account.c.video_count,
            account.c.listed_to,
            searched.c.since,
        )
        .join_from(account, searched, searched.c.account_id == account.c.id, isouter=True)
        .where(
            account.c.platform == platform,
            account.c.connection == "connected",
            or_(
                account.c.refreshed_at.is_(None),
                account.c.refreshed_at <= at - FOLLOWERS_EVERY,
                searched.c.since.is_not(None) & (account.c.listed_at.is_(None) | (account.c.listed_at < at)),
            ),
        )
        .order_by(account.c.external_id)
    )
    return [
        Due(row.id, row.external_id, row.uploads, row.video_count, row.listed_to, row.since) for row in rows
    ]


async def measured_since(work: Work, platform: str, at: datetime) -> list[UUID]:
    """Accounts with content that was observed at or after `at`."""
    seen = exists().where(content.c.account_id == account.c.id, content.c.observed_at >= at)
    rows = await work.fetch_all(
        select(account.c.id).where(account.c.platform == platform, seen).order_by(account.c.id)
    )
    return [row.id for row in rows]


async def republished(work: Work, after: UUID | None, limit: int) -> list[Account]:
    query = select(account).order_by(account.c.id).limit(limit).with_for_update()
    if after is not None:
        query = query.where(account.c.id > after)
    return [account_state(row) for row in await work.fetch_all(query)]
