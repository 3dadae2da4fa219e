"""Campaigns are announced: when approved, and on the day they start (domain.md §7).

An announcement is opened with its campaigns in one unit of work, which also marks them: no other one can
take them again. Then everybody is decided on, range by range, as of the instant it was opened, and only
when all are, so that it is known how many parts there are, the parts go out. What is done is kept with
each step, so a job that was killed goes on behind its last one, and the next announcement is opened when
this one is out: the rest of it can't pass for another one.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from souk.chassis.timers import Job
from souk.chassis.work import Work
from souk.contracts.ids import announcement_id
from souk.contracts.topics.accounts import ACCOUNTS
from souk.contracts.topics.announcements import Announcement, Recipient
from souk.contracts.topics.budgets import BUDGETS
from souk.contracts.topics.campaigns import CAMPAIGNS
from souk.influencer.handlers.campaigns import STARTED, batch_at
from souk.influencer.store import announcements, campaigns, decisions
from souk.influencer.store.announcements import Occasion

MOST_RECIPIENTS = 500
RANGE = 5_000
"""Influencers decided on in a unit of work."""
PARTS_AT_ONCE = 4
"""Parts published in a unit of work."""
_MOST_IDS = 15_000
"""Campaign ids in a part: with them a record stays well below what Kafka takes."""
_BANGKOK = timedelta(hours=7)


async def announce_upcoming(job: Job) -> None:
    """Tell everyone available of an approved campaign, unless it has started by now."""
    await job.barrier(CAMPAIGNS, ACCOUNTS, BUDGETS)
    campaign_id = UUID(job.timer.subject)
    async with job.units.begin() as work:
        await _open_upcoming(work, campaign_id)
    await _carry_out(job, "upcoming", str(campaign_id))
    async with job.units.begin() as work:
        await job.done(work)


async def announce_started(job: Job) -> None:
    """The start batch of a Bangkok date: its campaigns that were approved before the batch's instant.

    A campaign whose state was that late that the batch had gone out gets one of its own.
    """
    await job.barrier(CAMPAIGNS, ACCOUNTS, BUDGETS)
    day = date.fromisoformat(job.timer.subject)
    async with job.units.begin() as work:
        subject = await _open_started(work, day)
    if subject is not None:
        await _carry_out(job, "started", subject)
    async with job.units.begin() as work:
        await announcements.drop_old(work, work.now)
        # It holds the timer: a campaign that came meanwhile is seen now, or sets the timer anew.
        await job.done(work)
        if await announcements.is_left(work, day, batch_at(day)):
            work.schedule(STARTED, job.timer.subject, batch_at(day))


async def _open_upcoming(work: Work, campaign_id: UUID) -> None:
    locked = await announcements.lock_campaign(work, campaign_id)
    campaign = await campaigns.find(work, campaign_id)
    if locked is None or campaign is None or campaign.upcoming_announced_at is not None:
        return
    if campaigns.status_of(campaign, work.now) != "upcoming":
        return
    day = (work.now + _BANGKOK).date()
    await announcements.open_new(work, "upcoming", str(campaign_id), day, [campaign_id], MOST_RECIPIENTS)
    await announcements.mark(work, [campaign_id], upcoming_announced_at=work.now)


async def _open_started(work: Work, day: date) -> str | None:
    """The subject of the batch to carry out: the one under way, else a new one; None without campaigns."""
    under_way = await announcements.under_way(work, day)
    if under_way is not None:
        return under_way
    starting = await announcements.starting(work, day, batch_at(day))
    running = [
        campaign.id
        for row in starting
        if (campaign := await campaigns.find(work, row.id)) is not None
        and campaigns.status_of(campaign, work.now) in ("upcoming", "ongoing")
    ]
    await announcements.mark(work, [row.id for row in starting], started_announced_at=work.now)
    if not running:
        return None
    made = await announcements.made_for(work, day)
    subject = day.isoformat() if made == 0 else f"{day.isoformat()}+{made}"
    size = min(MOST_RECIPIENTS, max(1, _MOST_IDS // len(running)))
    await announcements.open_new(work, "started", subject, day, running, size)
    return subject


async def _carry_out(job: Job, occasion: Occasion, subject: str) -> None:
    is_under_way = True
    while is_under_way:
        async with job.units.begin() as work:
            row = await announcements.lock(work, occasion, subject)
            is_under_way = row is not None
            if row is not None and not row.is_decided:
                await _decide_range(work, row)
            elif row is not None:
                await _publish_parts(work, row)


async def _decide_range(work: Work, row: Row[Any]) -> None:
    end = await announcements.range_end(work, row, RANGE)
    within = announcements.within(row, end)
    for campaign in await announcements.campaigns_of(work, row):
        chosen = within & announcements.available_for(campaign, row.decided_at.date())
        await decisions.record_announced(work, campaign, chosen, row.decided_at)
    await announcements.add_recipients(work, row, end)


async def _publish_parts(work: Work, row: Row[Any]) -> None:
    parts = -(-row.recipients // row.part_size)
    last = min(parts, row.published + PARTS_AT_ONCE)
    told = await announcements.take_recipients(work, row, last * row.part_size)
    made = [
        _part(row, number, parts, told[at : at + row.part_size])
        for number, at in enumerate(range(0, len(told), row.part_size), row.published + 1)
    ]
    await announcements.keep(work, row.subject, made)
    work.publish("announcement.made", *made)
    await announcements.progress(work, row, last, is_out=last == parts)


def _part(row: Row[Any], number: int, parts: int, told: Sequence[Row[Any]]) -> Announcement:
    return Announcement(
        id=announcement_id(row.occasion, row.subject, number),
        version=1,
        changed_at=row.decided_at,
        occasion=row.occasion,
        day=row.day,
        part=number,
        parts=parts,
        recipients=tuple(
            Recipient(influencer_id=one.influencer_id, campaign_ids=tuple(one.campaign_ids)) for one in told
        ),
    )
