"""Everything that accounts published, whether or not it is a post of a campaign."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, bindparam, delete, exists, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.tracking.domain.metrics import MOST_PREVIOUS
from souk.tracking.domain.posts import FOLLOWED
from souk.tracking.store.sets import all_among
from souk.tracking.store.tables import account, campaign, content, participation, post

Key = tuple[UUID, str]


async def add_listed(work: Work, rows: Sequence[Mapping[str, Any]]) -> None:
    """Remember content by id and time; what is known already stays as it is."""
    if rows:
        await work.execute(insert(content).on_conflict_do_nothing(), list(rows))


async def known_ids(work: Work, accounts: Collection[UUID]) -> dict[UUID, set[str]]:
    rows = await work.fetch_all(
        select(content.c.account_id, content.c.external_id).where(among(content.c.account_id, accounts))
    )
    known: dict[UUID, set[str]] = {each: set() for each in accounts}
    for row in rows:
        known[row.account_id].add(row.external_id)
    return known


@dataclass(frozen=True, slots=True)
class Wanted:
    """Content whose counts are to be asked for. gone: it was no longer there when it was last asked for."""

    account_id: UUID
    external_id: str
    gone: bool


async def wanted(work: Work, platform: str, at: datetime) -> list[Wanted]:
    """What the poll of `at` still has to ask for, in the order (published_at, external_id).

    That is what was never looked at, what may be a post of a campaign and is none yet, and the posts that
    nobody has decided on. The ineffective ones may come back: they are asked for until the campaign's end,
    and as long as another post of it is undecided.
    """
    taking_part = (
        select(participation.c.account_id)
        .join_from(participation, campaign, campaign.c.id == participation.c.campaign_id)
        .where(
            participation.c.account_id == content.c.account_id,
            participation.c.state == "joined",
            campaign.c.tracks_posts,
            campaign.c.approved,
            campaign.c.starts_at <= at,
        )
        .correlate(content)
    )
    is_post = (
        exists()
        .where(
            post.c.account_id == content.c.account_id,
            post.c.external_id == content.c.external_id,
            post.c.campaign_id == campaign.c.id,
        )
        # Two queries further out: left alone, SQLAlchemy would look at all content of everybody.
        .correlate(content, campaign)
    )
    matches = taking_part.where(
        campaign.c.hashtags != text("'{}'"),
        content.c.hashtags.contains(campaign.c.hashtags),
        content.c.published_at >= campaign.c.starts_at,
        content.c.published_at < campaign.c.ends_at,
        ~is_post,
    )
    other = post.alias()
    undecided = exists().where(other.c.campaign_id == post.c.campaign_id, other.c.status.in_(FOLLOWED))
    running = exists().where(campaign.c.id == post.c.campaign_id, campaign.c.ends_at > at)
    followed = exists().where(
        post.c.account_id == content.c.account_id,
        post.c.external_id == content.c.external_id,
        or_(post.c.status.in_(FOLLOWED), and_(post.c.status == "ineffective", or_(running, undecided))),
        exists().where(participation.c.id == post.c.participation_id, participation.c.state == "joined"),
    )
    rows = await work.fetch_all(
        select(content.c.account_id, content.c.external_id, content.c.gone_at)
        .join_from(content, account, account.c.id == content.c.account_id)
        .where(
            account.c.platform == platform,
            account.c.connection == "connected",
            or_(
                and_(content.c.observed_at.is_(None), taking_part.exists()),
                and_(content.c.observed_at < at, or_(followed, matches.exists())),
            ),
        )
        .order_by(content.c.published_at, content.c.external_id, content.c.account_id)
    )
    return [Wanted(row.account_id, row.external_id, row.gone_at is not None) for row in rows]


async def lock(work: Work, keys: Collection[Key]) -> dict[Key, Row[Any]]:
    rows = await work.fetch_all(
        select(content)
        .where(all_among([content.c.account_id, content.c.external_id], keys))
        .order_by(content.c.account_id, content.c.external_id)
        .with_for_update()
    )
    return {(row.account_id, row.external_id): row for row in rows}


async def save(work: Work, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write locked rows; each names `b_account`, `b_external` and the same columns."""
    if not rows:
        return
    columns = [name for name in rows[0] if not name.startswith("b_")]
    await work.execute(
        update(content)
        .where(
            content.c.account_id == bindparam("b_account"), content.c.external_id == bindparam("b_external")
        )
        .values({name: bindparam(name) for name in columns}),
        list(rows),
    )


async def remove_of(work: Work, accounts: Collection[UUID]) -> None:
    await work.execute(delete(content).where(among(content.c.account_id, accounts)))


_PREVIOUS = text(
    "SELECT o.account_id, o.external_id, ARRAY("
    " SELECT c.likes FROM content c WHERE c.account_id = o.account_id AND c.likes_known"
    " AND (c.published_at, c.external_id) < (o.published_at, o.external_id)"
    " ORDER BY c.published_at DESC, c.external_id DESC LIMIT :most) AS likes "
    "FROM unnest(CAST(:accounts AS uuid[]), CAST(:externals AS text[]), CAST(:times AS timestamptz[]))"
    " AS o (account_id, external_id, published_at)"
)


async def previous_likes(work: Work, of: Collection[tuple[UUID, str, datetime]]) -> dict[Key, list[int]]:
    """Likes of up to 20 pieces that the same account published before each; hidden ones are left out."""
    rows = await work.fetch_all(
        _PREVIOUS,
        {
            "most": MOST_PREVIOUS,
            "accounts": [each[0] for each in of],
            "externals": [each[1] for each in of],
            "times": [each[2] for each in of],
        },
    )
    return {(row.account_id, row.external_id): list(row.likes) for row in rows}


async def newest_likes(work: Work, accounts: Collection[UUID]) -> dict[UUID, list[int]]:
    """Likes of each account's 20 newest pieces that show them and are there."""
    newest = (
        select(content.c.likes)
        .where(content.c.account_id == account.c.id, content.c.likes_known, content.c.gone_at.is_(None))
        .order_by(content.c.published_at.desc(), content.c.external_id.desc())
        .limit(MOST_PREVIOUS)
        .correlate(account)
        .lateral()
    )
    rows = await work.fetch_all(
        select(account.c.id, func.array_agg(newest.c.likes).label("likes"))
        .join_from(account, newest, text("true"))
        .where(among(account.c.id, accounts))
        .group_by(account.c.id)
    )
    return {row.id: list(row.likes) for row in rows}
