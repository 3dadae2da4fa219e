"""Deletes what is past its time, in chunks."""

from datetime import timedelta

from souk.chassis.timers import Job
from souk.notify.domain.notices import KEPT
from souk.notify.store import announcements, deliveries, occasions

RETENTION = "retention"
ANNOUNCEMENTS_KEPT = timedelta(days=60)
_EVERY = timedelta(days=7)


async def remove_old(job: Job) -> None:
    """Weekly, at the hour of the start batch: an instant that the suite's clock stops at anyway."""
    while True:
        async with job.units.begin() as work:
            removed = (
                await deliveries.remove_old(work, work.now - KEPT),
                await announcements.remove_old(work, work.now - ANNOUNCEMENTS_KEPT),
                await occasions.remove_old(work, work.now),
            )
            if not any(removed):
                start = work.now.replace(hour=1, minute=0, second=0, microsecond=0)
                await job.done(work, again_at=start + _EVERY)
                return
