"""What happens to whole campaigns: spent budgets and ends, told to their participants."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from souk.chassis.timers import Job, Timer
from souk.chassis.work import Work
from souk.contracts.topics.budgets import Budget
from souk.contracts.topics.campaigns import Campaign
from souk.notify.domain.notices import exhaustion_of, is_news
from souk.notify.handlers.telling import make, pass_on
from souk.notify.store import copies, deliveries, occasions

ENDS = "campaign.ends"
TELL = "occasion.tell"
_CHUNK = 500


async def keep_campaigns(work: Work, campaigns: Sequence[Campaign]) -> None:
    """Keep the campaigns, set the timers of their ends, and decide what waited for them."""
    changed = sorted(await copies.store_campaigns(work, campaigns))
    if not changed:
        return
    newest = {one.id: one for one in sorted(campaigns, key=lambda one: one.version)}
    for campaign_id in changed:
        campaign = newest[campaign_id]
        if campaign.lifecycle == "approved" and campaign.ends_at and is_news(campaign.ends_at, work.now):
            work.schedule(ENDS, campaign_id, campaign.ends_at)
    _have_told(work, await occasions.accept(work, changed))
    await pass_on(work, await deliveries.settle_about(work, changed))


async def keep_budgets(work: Work, budgets: Sequence[Budget]) -> None:
    """Note which campaigns went over their budgets."""
    exhaustions = [one for budget in budgets if (one := exhaustion_of(budget)) and is_news(one.at, work.now)]
    ids = sorted({one.campaign_id for one in exhaustions})
    for campaign_id in ids:
        await copies.lock_campaign(work, campaign_id)
    await occasions.record_exhaustions(work, exhaustions)
    _have_told(work, await occasions.accept(work, ids))


async def finish(work: Work, timer: Timer) -> None:
    """The campaign's end is there: the timer is moved in the same unit as the copy of the campaign."""
    campaign = await copies.lock_campaign(work, UUID(timer.subject))
    if campaign.ends_at is None:
        return  # The copy is lost: its record, when it comes again, sets the timer again.
    if finished := await occasions.record_finish(work, campaign.id, campaign.ends_at):
        _have_told(work, [finished])


def _have_told(work: Work, told: Sequence[Any]) -> None:
    for one in told:
        subject = f"{one.kind}:{one.campaign_id}:{one.occurrence}"
        work.schedule(TELL, subject, work.now, campaign_id=str(one.campaign_id))


async def tell_participants(job: Job) -> None:
    """Tell all who took part, 500 at a time. Those whose participation arrives later are told then."""
    campaign_id = UUID(job.timer.data["campaign_id"])
    after = UUID(int=0)
    while True:
        async with job.units.begin() as work:
            found = await occasions.participants(work, campaign_id, after, _CHUNK)
            if not found:
                await job.done(work)
                return
            await copies.lock_contacts(work, (one.influencer_id for one in found))
            await copies.lock_campaigns(work, [campaign_id])
            await make(work, occasions.of_participations([one.id for one in found], work.now))
        after = found[-1].id
