"""The followers' base: what the follower fee is paid on, stored once (domain.md §6)."""

from uuid import UUID

from souk.chassis.work import Work
from souk.influencer.store import announcements, bases, influencers, participations

PART = 500


async def open_base(work: Work, campaign_id: UUID) -> bool:
    """From here on whoever joins brings their own base; whether the campaign has started at all.

    The campaign's lock waits for joins that don't know of it yet, so nobody falls in between.
    """
    campaign = await announcements.lock_campaign(work, campaign_id)
    if campaign is None or campaign.starts_at is None or campaign.starts_at > work.now:
        return False
    if campaign.based_at is None:
        await announcements.mark(work, [campaign_id], based_at=work.now)
    return True


async def take_bases(work: Work, campaign_id: UUID, after: UUID | None) -> UUID | None:
    """Give the next part of those who had joined their account's followers of now; the last of the part.

    None at the end. An account that hides its followers gives no base.
    """
    seen = await bases.without_base(work, campaign_id, after, PART)
    people = await influencers.lock_many(work, [one.influencer_id for one in seen], None)
    locked = await participations.lock_many(work, [one.id for one in seen if one.influencer_id in people])
    taken = await bases.take(work, [i for i, one in locked.items() if one.followers_base is None])
    work.publish("participation.changed", *map(participations.state_of, taken))
    return seen[-1].id if seen else None
