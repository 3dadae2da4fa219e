"""Announcements: the start batch and new campaigns, from recipients to deliveries."""

import logging
from collections.abc import Sequence
from typing import Any

from souk.chassis.timers import Job
from souk.chassis.work import Work
from souk.contracts.topics.announcements import Announcement
from souk.contracts.topics.campaigns import CAMPAIGNS
from souk.contracts.topics.contacts import CONTACTS
from souk.contracts.topics.influencers import INFLUENCERS
from souk.notify.domain.notices import is_news
from souk.notify.handlers.telling import ALL, make
from souk.notify.store import announcements, copies, timers

DELIVER = "announcements.deliver"
_CHUNK = 100
"""Recipients a transaction; each has a handful of campaigns on three channels."""

logger = logging.getLogger(__name__)


async def receive(work: Work, parts: Sequence[Announcement]) -> None:
    """Keep the parts; a job makes the deliveries, for it must wait for all that they depend on."""
    news = [part for part in parts if is_news(part.changed_at, work.now)]
    if await announcements.receive(work, parts, news):
        work.schedule(DELIVER, ALL, work.now)


async def deliver(job: Job) -> None:
    """Make the deliveries of all announcements that are here.

    What they depend on is read up to now first, so that lag drops nobody (domain.md §7). Killed, it
    goes on with the recipients that are left.
    """
    await job.barrier(CONTACTS, CAMPAIGNS, INFLUENCERS)
    async with job.units.begin(read_only=True) as work:
        parts = await announcements.open_parts(work)
    told = 0
    for number, part in enumerate(parts, 1):
        while count := await _deliver_some(job, part):
            told += count
        logger.info(
            "announcement delivered",
            extra={"occasion": part.occasion, "part": number, "parts": len(parts), "recipients": told},
        )
    async with job.units.begin() as work:
        await timers.hold(work, DELIVER, ALL)
        more = await announcements.open_parts(work)
        await job.done(work, again_at=work.now if more else None)


async def _deliver_some(job: Job, part: Any) -> int:
    async with job.units.begin() as work:
        taken = await announcements.take_recipients(work, part.id, _CHUNK)
        if not taken:
            return 0
        influencers = [one.influencer_id for one in taken]
        await copies.lock_contacts(work, influencers)
        await copies.lock_campaigns(work, {campaign for one in taken for campaign in one.campaign_ids})
        await make(work, announcements.deliveries_of(part, influencers))
        await announcements.remove_recipients(work, part.id, influencers)
        return len(taken)
