"""Due work of the influencer service."""

from datetime import date
from uuid import UUID

from souk.chassis.timers import Job, Timers
from souk.contracts.topics.accounts import ACCOUNTS
from souk.contracts.topics.budgets import BUDGETS
from souk.contracts.topics.campaigns import CAMPAIGNS
from souk.influencer.handlers import announcements, bases
from souk.influencer.handlers.campaigns import STARTED, STARTS, UPCOMING

timers = Timers()


@timers.job(UPCOMING)
async def announce_upcoming(job: Job) -> None:
    await job.barrier(CAMPAIGNS, ACCOUNTS, BUDGETS)
    async with job.units.begin() as work:
        await announcements.announce_upcoming(work, UUID(job.timer.subject))
        await job.done(work)


@timers.job(STARTED)
async def announce_started(job: Job) -> None:
    await job.barrier(CAMPAIGNS, ACCOUNTS, BUDGETS)
    async with job.units.begin() as work:
        await announcements.announce_started(work, date.fromisoformat(job.timer.subject))
        await job.done(work)


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
