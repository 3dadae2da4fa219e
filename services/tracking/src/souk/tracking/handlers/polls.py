"""The daily poll: followers, new content, and the counts of what is followed (domain.md §4).

Quota is spent where something can have changed: `channels` tells the number of videos of 50 accounts a
call; only where it differs is the list of uploads read; only what is new or followed is asked for counts.
Nothing is asked inside a transaction. Killed anywhere, the poll runs again and asks for the rest.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any, TypeVar
from uuid import UUID

from souk.chassis.timers import Job
from souk.chassis.work import Units, Work
from souk.tracking.adapters.platform import (
    Channel,
    NotThereError,
    Platform,
    PlatformRefusedError,
    QuotaSpentError,
    Upload,
)
from souk.tracking.domain.metrics import MOST_PREVIOUS, usual_likes
from souk.tracking.handlers.observations import Seen, record
from souk.tracking.store import accounts, contents

log = logging.getLogger(__name__)

KIND = "accounts.poll"
MOST_PAGES = 20
"""Of 50 uploads: what is older than the newest 1,000 is not searched for posts."""
_CHUNK = 200
_T = TypeVar("_T")


def next_poll(after: datetime, at: str) -> datetime:
    """The first instant later than `after` at `at` ("HH:MM", UTC)."""
    due = datetime.combine(after.date(), time.fromisoformat(at), after.tzinfo)
    return due if due > after else due + timedelta(days=1)


async def poll(job: Job, platform: Platform, name: str) -> None:
    """Read every connected account of the platform `name`; stops quietly when the day's quota is spent.

    Raises PlatformUnavailableError when the platform does not answer: the poll is then done again.
    """
    at = job.timer.due_at
    try:
        await _refresh(job, platform, name, at)
        await _measure(job, platform, name, at)
    except QuotaSpentError as spent:
        log.warning("the poll ended early", extra={"platform": name, "why": str(spent)})
    await _usual_likes(job.units, name, at)


async def _refresh(job: Job, platform: Platform, name: str, at: datetime) -> None:
    """Followers of all accounts, and the new content of those that campaigns wait for."""
    async with job.units.begin(read_only=True) as work:
        due = await accounts.due(work, name, at)
    for several in _chunks(due, platform.ids_a_call * platform.calls_at_once):
        asked = [_channels(platform, part) for part in _chunks(several, platform.ids_a_call)]
        answers = await _together(asked, platform.calls_at_once)
        channels = {key: value for answer in answers for key, value in answer.items()}
        async with job.units.begin() as work:
            await _save_channels(work, several, channels, at)
        listings = [
            _Listing(account, channels[account.external_id])
            for account in several
            if account.since is not None and account.external_id in channels
        ]
        await _list_uploads(job, platform, listings, at)


async def _channels(platform: Platform, part: Sequence[accounts.Due]) -> Mapping[str, Channel]:
    try:
        return await platform.channels([account.external_id for account in part])
    except PlatformRefusedError as refused:
        log.error("accounts were not read", extra={"accounts": len(part), "why": str(refused)})
        return {}


async def _save_channels(
    work: Work, due: Sequence[accounts.Due], channels: Mapping[str, Channel], at: datetime
) -> None:
    seen = {account.id: channels[account.external_id] for account in due if account.external_id in channels}
    snapshots, notes = [], []
    for row in sorted(await accounts.lock_connected(work, seen), key=lambda row: row.external_id):
        channel = seen[row.id]
        # A hidden follower count keeps the last known one, as every hidden count does.
        followers = row.followers if channel.followers is None else channel.followers
        if followers is not None and followers != row.followers:
            snapshots.append({"account_id": row.id, "observed_at": at, "followers": followers})
        if (followers, channel.handle) != (row.followers, row.handle):
            changed = await accounts.change(work, row.id, {"followers": followers, "handle": channel.handle})
            work.publish("account.changed", accounts.account_state(changed))
        notes.append({"b_id": row.id, "uploads": channel.uploads, "refreshed_at": at})
    await accounts.note(work, notes)
    await accounts.add_follower_snapshots(work, snapshots)


@dataclass(frozen=True, slots=True)
class _Listing:
    account: accounts.Due
    channel: Channel
    uploads: tuple[Upload, ...] = ()
    needed: bool = True

    @property
    def is_deep(self) -> bool:
        """Whether the list was never read back to where campaigns look now."""
        since, known = self.account.since, self.account.listed_to
        return known is None or (since is not None and since < known)


async def _list_uploads(job: Job, platform: Platform, listings: Sequence[_Listing], at: datetime) -> None:
    unchanged = [
        listing
        for listing in listings
        if not listing.is_deep
        and listing.account.video_count is not None
        and listing.account.video_count == listing.channel.video_count
    ]
    await _save_listings(job.units, [replace(listing, needed=False) for listing in unchanged], at)
    same = {listing.account.id for listing in unchanged}
    others = [each for each in listings if each.account.id not in same]
    for part in _chunks(others, platform.calls_at_once * 5):
        async with job.units.begin(read_only=True) as work:
            known = await contents.known_ids(work, [listing.account.id for listing in part])
        read = await _together(
            [_read_uploads(platform, listing, known[listing.account.id]) for listing in part],
            platform.calls_at_once,
        )
        await _save_listings(job.units, [listing for listing in read if listing is not None], at)


async def _read_uploads(platform: Platform, listing: _Listing, known: set[str]) -> _Listing | None:
    """Page through the uploads until they are known, and far enough back; None when it was refused."""
    found: list[Upload] = []
    page: str | None = None
    since = listing.account.since
    try:
        for _ in range(MOST_PAGES):
            answer = await platform.uploads(listing.channel.uploads, page)
            found += answer.uploads
            page = answer.next
            before = sum(1 for upload in found if since is not None and upload.published_at < since)
            reached = (
                before >= MOST_PREVIOUS
                if listing.is_deep
                else any(u.external_id in known for u in answer.uploads)
            )
            if page is None or reached:
                break
    except NotThereError:
        pass  # a channel without videos has no such playlist
    except PlatformRefusedError as refused:
        log.error("uploads were not read", extra={"account": str(listing.account.id), "why": str(refused)})
        return None
    return replace(listing, uploads=tuple(found))


async def _save_listings(units: Units, listings: Sequence[_Listing], at: datetime) -> None:
    if not listings:
        return
    async with units.begin() as work:
        rows = await accounts.lock_connected(work, [listing.account.id for listing in listings])
        connected = {row.id for row in rows}
        listings = [listing for listing in listings if listing.account.id in connected]
        new = {
            (listing.account.id, upload.external_id): {
                "account_id": listing.account.id,
                "external_id": upload.external_id,
                "published_at": upload.published_at,
            }
            for listing in listings
            for upload in listing.uploads
        }
        await contents.add_listed(work, list(new.values()))
        notes: list[dict[str, Any]] = [
            {
                "b_id": listing.account.id,
                "video_count": listing.channel.video_count,
                "listed_at": at,
                "listed_to": listing.account.since if listing.is_deep else listing.account.listed_to,
            }
            for listing in listings
        ]
        await accounts.note(work, notes)


async def _measure(job: Job, platform: Platform, name: str, at: datetime) -> None:
    async with job.units.begin(read_only=True) as work:
        wanted = await contents.wanted(work, name, at)
    for part in _chunks(wanted, _CHUNK):
        observed_at = max(job.now, at)
        ids = sorted({each.external_id for each in part})
        asking = [_videos(platform, some) for some in _chunks(ids, platform.ids_a_call)]
        answers = await _together(asking, platform.calls_at_once)
        videos = {key: value for answer in answers if answer is not None for key, value in answer[1].items()}
        asked = {name for answer in answers if answer is not None for name in answer[0]}
        async with job.units.begin() as work:
            # Accounts before their content, as an erasure locks them; who was erased meanwhile has none.
            rows = await accounts.lock_connected(work, {each.account_id for each in part})
            connected = {row.id for row in rows}
            told = [each for each in part if each.external_id in asked and each.account_id in connected]
            seen = [Seen(each.account_id, each.external_id, videos.get(each.external_id)) for each in told]
            await record(work, name, seen, observed_at)
            # Something that is gone may have been replaced by something new, with the same number of videos.
            gone = {each.account_id for each in told if each.external_id not in videos and not each.gone}
            await accounts.note(work, [{"b_id": each, "video_count": None} for each in sorted(gone)])


async def _videos(platform: Platform, ids: Sequence[str]) -> tuple[Sequence[str], Mapping[str, Any]] | None:
    try:
        return ids, await platform.videos(ids)
    except PlatformRefusedError as refused:
        log.error("videos were not read", extra={"videos": len(ids), "why": str(refused)})
        return None


async def _usual_likes(units: Units, name: str, at: datetime) -> None:
    async with units.begin(read_only=True) as work:
        measured: list[UUID] = await accounts.measured_since(work, name, at)
    for part in _chunks(measured, _CHUNK):
        async with units.begin() as work:
            rows = await accounts.lock_connected(work, part)
            newest = await contents.newest_likes(work, part)
            for row in sorted(rows, key=lambda row: row.external_id):
                usual = usual_likes(newest.get(row.id, []))
                if usual != row.usual_likes:
                    changed = await accounts.change(work, row.id, {"usual_likes": usual})
                    work.publish("account.changed", accounts.account_state(changed))


async def _together(calls: Sequence[Awaitable[_T]], most: int) -> list[_T]:
    """All of them, at most so many at once; when one fails the rest are ended and it is raised."""
    at_once = asyncio.Semaphore(most)

    async def one(call: Awaitable[_T]) -> _T:
        async with at_once:
            return await call

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(call)) for call in calls]
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
    return [task.result() for task in tasks]


def _chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
