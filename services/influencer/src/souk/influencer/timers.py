"""Due work of the influencer service."""

from uuid import UUID

from souk.chassis.timers import Job, Timers
from souk.contracts.topics.accounts import ACCOUNTS
from souk.influencer.handlers import announcements, bases
from souk.influencer.handlers.campaigns import STARTED, STARTS, UPCOMING

timers = Timers()
timers.job(UPCOMING)(announcements.announce_upcoming)
timers.job(STARTED)(announcements.announce_started)


@timers.job(STARTS)
async def take_followers_base(job: Job) -> None:
    campaign = UUID(job.timer.subject)
    await job.barrier(ACCOUNTS)
    async with job.units.begin() as work:
        if not await bases.open_base(work, campaign):
            await job.done(work)
            return
    last: UUID | None = None
    while True:
        async with job.units.begin() as work:
            last = await bases.take_bases(work, campaign, last)
            if last is None:
                await job.done(work)
                return
