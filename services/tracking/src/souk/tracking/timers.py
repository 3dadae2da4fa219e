"""Due work: the daily poll, and what keeps the tables within their bounds."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from sqlalchemy import select

from souk.chassis.tables import timer as timer_table
from souk.chassis.timers import Job, Timers
from souk.chassis.work import Units, Work
from souk.tracking.adapters.platform import Platform
from souk.tracking.handlers import following, polls
from souk.tracking.settings import TrackingSettings
from souk.tracking.store import clicks, conversions, series
from souk.tracking.store.tables import follower_snapshot, post_snapshot

PLATFORM = "youtube"
TIDY = "tracking.tidy"
_WAITING_ORDERS = timedelta(days=30)
_AT_ONCE = 10_000


def timers(
    settings: TrackingSettings, reach: Callable[[Units], AbstractAsyncContextManager[Platform]]
) -> Timers:
    """The service's timers. reach: opens a way to the platform."""
    kinds = Timers()

    @kinds.job(polls.KIND)
    async def poll_accounts(job: Job) -> None:
        async with reach(job.units) as platform:
            await polls.poll(job, platform, PLATFORM)
        async with job.units.begin() as work:
            await job.done(work, again_at=polls.next_poll(job.timer.due_at, settings.poll))

    @kinds.job(following.KIND)
    async def follow_campaign(job: Job) -> None:
        await following.follow_whole(job, following.steps(settings))

    @kinds.job(TIDY)
    async def tidy(job: Job) -> None:
        """Delete clicks and snapshots past their time and orders that never came, a part at a time."""
        full = True
        while full:
            async with job.units.begin() as work:
                clicks_before = work.now - timedelta(days=settings.clicks_kept_days)
                snapshots_before = work.now - timedelta(days=settings.snapshots_kept_days)
                removed = (
                    await clicks.remove_older(work, clicks_before, _AT_ONCE),
                    await series.remove_older(work, post_snapshot, snapshots_before, _AT_ONCE),
                    await series.remove_older(work, follower_snapshot, snapshots_before, _AT_ONCE),
                    await conversions.remove_waiting(work, work.now - _WAITING_ORDERS, _AT_ONCE),
                )
                full = max(removed) == _AT_ONCE
        async with job.units.begin() as work:
            await job.done(work, again_at=job.timer.due_at + timedelta(days=1))

    return kinds


async def begin(units: Units, settings: TrackingSettings) -> None:
    """Set the first poll and the first tidying, unless they are set: a restart moves nothing."""

    async def missing(work: Work) -> None:
        known = {
            row.kind
            for row in await work.fetch_all(
                select(timer_table.c.kind).where(timer_table.c.kind.in_((polls.KIND, TIDY)))
            )
        }
        if polls.KIND not in known:
            work.schedule(polls.KIND, PLATFORM, polls.next_poll(work.now, settings.poll))
        if TIDY not in known:
            work.schedule(TIDY, PLATFORM, polls.next_poll(work.now, "03:30"))

    await units.insist(missing)
