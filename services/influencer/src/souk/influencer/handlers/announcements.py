"""Campaigns are announced: when approved, and on the day they start (domain.md §7).

One unit of work decides on everybody, so there is no half of an announcement. Which campaigns went out
is kept with the campaign: whatever is run again finds nothing left to announce.
"""

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Row

from souk.chassis.work import Work
from souk.contracts.ids import announcement_id
from souk.contracts.topics.announcements import Announcement, Recipient
from souk.influencer.handlers.campaigns import batch_at
from souk.influencer.store import announcements, campaigns, decisions

MOST_RECIPIENTS = 500
_MOST_IDS = 15_000
"""Campaign ids in a part: with them a record stays well below what Kafka takes."""
_BANGKOK = timedelta(hours=7)


async def announce_upcoming(work: Work, campaign_id: UUID) -> None:
    """Tell everyone available of an approved campaign, unless it has started by now."""
    locked = await announcements.lock_campaign(work, campaign_id)
    campaign = await campaigns.find(work, campaign_id)
    if locked is None or campaign is None or campaign.upcoming_announced_at is not None:
        return
    if campaigns.status_of(campaign, work.now) != "upcoming":
        return
    day = (work.now + _BANGKOK).date()
    await _announce(work, "upcoming", str(campaign_id), day, [campaign])
    await announcements.mark(work, [campaign_id], upcoming_announced_at=work.now)


async def announce_started(work: Work, day: date) -> None:
    """The start batch of a Bangkok date: its campaigns that were approved before the batch's instant.

    A campaign whose state was that late that the batch had gone out gets one of its own.
    """
    starting = await announcements.starting(work, day, batch_at(day))
    running = [
        campaign
        for row in starting
        if (campaign := await campaigns.find(work, row.id)) is not None
        and campaigns.status_of(campaign, work.now) in ("upcoming", "ongoing")
    ]
    if running:
        made = await announcements.made_for(work, day)
        subject = day.isoformat() if made == 0 else f"{day.isoformat()}+{made}"
        await _announce(work, "started", subject, day, running)
    await announcements.mark(work, [row.id for row in starting], started_announced_at=work.now)
    await announcements.drop_old(work, work.now)


async def _announce(
    work: Work,
    occasion: Literal["upcoming", "started"],
    subject: str,
    day: date,
    wanted: Sequence[Row[Any]],
) -> None:
    for campaign in wanted:
        chosen = announcements.available_for(campaign, work.now.date())
        await decisions.record_announced(work, campaign, chosen, work.now)
    told = await announcements.recipients(work, [campaign.id for campaign in wanted], work.now)
    size = min(MOST_RECIPIENTS, max(1, _MOST_IDS // len(wanted)))
    parts = [told[at : at + size] for at in range(0, len(told), size)]
    for number, rows in enumerate(parts, 1):
        one = Announcement(
            id=announcement_id(occasion, subject, number),
            version=1,
            changed_at=work.now,
            occasion=occasion,
            day=day,
            part=number,
            parts=len(parts),
            recipients=tuple(
                Recipient(influencer_id=row.influencer_id, campaign_ids=tuple(row.campaign_ids))
                for row in rows
            ),
        )
        await announcements.keep(work, subject, one)
        work.publish("announcement.made", one)
        await asyncio.sleep(0)
