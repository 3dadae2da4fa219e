"""What a poll saw becomes posts, metrics and warnings (domain.md §4)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from souk.chassis.work import Work
from souk.contracts.ids import CampaignId, post_id
from souk.contracts.topics.posts import Metrics, PostStatus, PostWarning
from souk.tracking.adapters.platform import Video
from souk.tracking.domain import posts as rules
from souk.tracking.domain.metrics import Observation, is_ad_fraud, merge
from souk.tracking.handlers.counting import publish, recount
from souk.tracking.store import contents, copies
from souk.tracking.store import posts as store

_NOTHING = Observation()


@dataclass(frozen=True, slots=True)
class Seen:
    """The platform's answer about one piece of content; without a video it is no longer there."""

    account_id: UUID
    external_id: str
    video: Video | None


async def record(work: Work, platform: str, seen: Sequence[Seen], observed_at: datetime) -> None:
    """Store one chunk of answers, fetched at `observed_at`, in the given order (published_at, external_id).

    Posts that count are published in that order, because the order decides who gets the last of a budget.
    """
    takers = await _takers(work, {each.account_id for each in seen})
    before = await contents.lock(work, [(each.account_id, each.external_id) for each in seen])
    fresh = [each for each in seen if _is_newer(before.get((each.account_id, each.external_id)), observed_at)]
    pieces = await _save_contents(work, fresh, before, observed_at)
    known: dict[tuple[UUID, str], list[Row[Any]]] = defaultdict(list)
    for row in await store.lock_of_content(work, list(pieces)):
        known[row.account_id, row.external_id].append(row)
    previous = await contents.previous_likes(
        work, [(row.account_id, row.external_id, row.published_at) for row in pieces.values()]
    )
    new: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    events: list[tuple[str, UUID]] = []
    snapshots: list[dict[str, Any]] = []
    for each in fresh:
        key = (each.account_id, each.external_id)
        piece, rows = pieces[key], known[key]
        joined = {taker.participation_id: taker for taker in takers[each.account_id]}
        found = {row.campaign_id for row in rows}
        for taker in joined.values():
            if (
                taker.campaign_id not in found
                and each.video
                and taker.brief.asks_for(piece.hashtags, piece.published_at)
            ):
                new.append(_found(work, platform, taker, piece, each.video.url, previous[key]))
                events.append(("post.found", new[-1]["id"]))
                snapshots.append(_snapshot(new[-1]["id"], observed_at, store.metrics_of(piece)))
        for row in rows:
            if row.participation_id not in joined:
                continue
            # Not beside the post: a pending one stands still while its counts move.
            if each.video and (key not in before or store.metrics_of(piece) != store.metrics_of(before[key])):
                snapshots.append(_snapshot(row.id, observed_at, store.metrics_of(piece)))
            values = _followed(
                work, row, piece, joined[row.participation_id].brief, previous[key], observed_at
            )
            if values is not None:
                changed.append(values)
                events.append((_event(row, values), row.id))
    await store.insert_new(work, new)
    await store.save(work, changed)
    await store.add_snapshots(work, snapshots)
    flipped = await recount(
        work, {row["participation_id"] for row in new}, bumped={name for _, name in events}
    )
    saved = {row.id: row for row in await store.read(work, {name for _, name in events} | flipped)}
    flips = [("post.changed", row) for row in saved.values() if row.id in flipped]
    publish(work, [*((event, saved[name]) for event, name in events), *flips])


@dataclass(frozen=True, slots=True)
class _Taker:
    """A joined participation that the account's content may be a post of."""

    participation_id: UUID
    campaign_id: UUID
    influencer_id: UUID
    multi_posting: bool
    brief: rules.Brief


async def _takers(work: Work, accounts: set[UUID]) -> dict[UUID, list[_Taker]]:
    """By account, in the order of campaign ids; their campaigns shared, then the participations locked.

    Between campaigns the order decides nothing: each has its own budget.
    """
    rows = await copies.joined_with(work, accounts)
    campaigns = await copies.share_campaigns(work, {row.campaign_id for row in rows})
    locked = await copies.lock_participations(work, {row.id for row in rows})
    takers: dict[UUID, list[_Taker]] = defaultdict(list)
    for row in sorted(locked.values(), key=lambda row: row.campaign_id):
        terms = campaigns[row.campaign_id]
        if row.state == "joined" and row.account_id in accounts and terms.tracks_posts and terms.approved:
            brief = rules.Brief(tuple(terms.hashtags), terms.starts_at, terms.ends_at)
            takers[row.account_id].append(
                _Taker(row.id, row.campaign_id, row.influencer_id, terms.multi_posting, brief)
            )
    return takers


def _is_newer(piece: Row[Any] | None, observed_at: datetime) -> bool:
    return piece is not None and (piece.observed_at is None or piece.observed_at < observed_at)


async def _save_contents(
    work: Work, seen: Sequence[Seen], pieces: dict[contents.Key, Row[Any]], observed_at: datetime
) -> dict[contents.Key, Row[Any]]:
    """Merge the answers into the contents; a hidden or missing count keeps what is stored."""
    rows = []
    for each in seen:
        piece = pieces[each.account_id, each.external_id]
        video = each.video
        merged = merge(store.metrics_of(piece), video.counts if video else _NOTHING)
        rows.append(
            {
                "b_account": each.account_id,
                "b_external": each.external_id,
                "published_at": video.published_at if video else piece.published_at,
                "title": video.title if video else piece.title,
                "hashtags": list(video.hashtags) if video else piece.hashtags,
                **store.latest_columns(merged),
                "likes_known": piece.likes_known or (video is not None and video.counts.likes is not None),
                "observed_at": observed_at,
                "gone_at": None if video else piece.gone_at or observed_at,
            }
        )
    await contents.save(work, rows)
    return await contents.lock(work, [(each.account_id, each.external_id) for each in seen])


def _found(
    work: Work, platform: str, taker: _Taker, piece: Row[Any], url: str, previous: Sequence[int]
) -> dict[str, Any]:
    metrics = store.metrics_of(piece)
    warnings: tuple[PostWarning, ...] = ()
    if is_ad_fraud(metrics.likes, previous):
        warnings = rules.raise_warning((), "ad_fraud", piece.published_at, work.now)
    return {
        "id": post_id(CampaignId(taker.campaign_id), platform, piece.external_id),
        "version": 1,
        "changed_at": work.now,
        "campaign_id": taker.campaign_id,
        "participation_id": taker.participation_id,
        "influencer_id": taker.influencer_id,
        "account_id": piece.account_id,
        "platform": platform,
        "external_id": piece.external_id,
        "url": url,
        "title": piece.title,
        "published_at": piece.published_at,
        "found_at": work.now,
        "status": rules.status_by_warnings("effective", warnings),
        # Without multi-posting the recount that follows says which one counts.
        "counts": taker.multi_posting,
        "counts_since": work.now if taker.multi_posting else None,
        "warnings": store.warnings_column(warnings),
        **store.latest_columns(metrics),
        "observed_at": piece.observed_at,
        **store.counted_columns(metrics),
    }


def _followed(
    work: Work,
    row: Row[Any],
    piece: Row[Any],
    brief: rules.Brief,
    previous: Sequence[int],
    observed_at: datetime,
) -> dict[str, Any] | None:
    """A known post's new columns, None when nothing about it changed.

    An approved or ineffective post's counted metrics stay. A pending one stays as billing was asked about it.
    """
    if row.status == "pending" or observed_at <= row.observed_at:
        return None
    metrics, warnings = store.metrics_of(piece), store.warnings_of(row)
    status: PostStatus = row.status
    counted, invalid_since = store.counted_of(row), row.invalid_since
    if status in rules.FOLLOWED:
        counted = metrics
        if piece.gone_at is not None:
            warnings = rules.raise_warning(warnings, "deleted_post", piece.gone_at, work.now)
        else:
            warnings = rules.solve_warnings(warnings, "deleted_post")
        if brief.has_all(piece.hashtags):
            invalid_since = None
            warnings = rules.solve_warnings(warnings, "invalid_content")
        else:
            invalid_since = invalid_since or observed_at
            warnings = rules.raise_warning(warnings, "invalid_content", invalid_since, work.now)
        if is_ad_fraud(metrics.likes, previous):
            warnings = rules.raise_warning(warnings, "ad_fraud", row.published_at, work.now)
        status = rules.status_by_warnings(status, warnings)
    same = (metrics, counted, warnings, invalid_since) == (
        store.metrics_of(row),
        store.counted_of(row),
        store.warnings_of(row),
        row.invalid_since,
    )
    if same:
        return None
    return {
        "id": row.id,
        "status": status,
        "warnings": store.warnings_column(warnings),
        **store.latest_columns(metrics),
        "observed_at": row.observed_at if piece.gone_at is not None else observed_at,
        **store.counted_columns(counted),
        "invalid_since": invalid_since,
    }


def _event(row: Row[Any], values: dict[str, Any]) -> str:
    before = sum(not warning["solved"] for warning in row.warnings)
    after = sum(not warning["solved"] for warning in values["warnings"])
    if after > before:
        return "post.warned"
    return "post.solved" if after < before else "post.measured"


def _snapshot(name: UUID, observed_at: datetime, metrics: Metrics) -> dict[str, Any]:
    return {"post_id": name, "observed_at": observed_at, **store.latest_columns(metrics)}
