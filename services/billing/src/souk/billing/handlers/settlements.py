"""Links and conversions are approved when the campaign is finished and its hold period over."""

from datetime import timedelta
from uuid import UUID

from souk.billing.domain.books import Cause
from souk.billing.domain.folding import approve
from souk.billing.handlers.batch import open_batch
from souk.billing.store import accounts
from souk.billing.store import books as store
from souk.chassis.timers import Job
from souk.contracts.topics.campaigns import CAMPAIGNS
from souk.contracts.topics.conversions import CONVERSIONS
from souk.contracts.topics.links import LINKS

CHUNK = 1_000


async def settle(job: Job) -> None:
    """Approve the campaign's links and undisputed conversions as of the instant the timer was set for.

    Disputed ones are approved when the dispute ends. A killed run goes on where it stopped: what is
    approved is not found again.
    """
    await job.barrier(CAMPAIGNS, LINKS, CONVERSIONS)
    campaign, at = UUID(job.timer.subject), job.timer.due_at
    finished = False
    while not finished:
        async with job.units.begin() as work:
            batch = await open_batch(work, [campaign])
            row = batch.accounts[campaign]
            due = row.ends_at + timedelta(days=row.hold_days) if row.ends_at else None
            if due is not None and due > at:
                await job.done(work, again_at=due)
                return
            books = batch.books.get(campaign)
            found = await store.unapproved(work, campaign, CHUNK) if books else []
            if books:
                await accounts.settle(work, campaign, at)
                batch.take_participations(
                    await store.participations(
                        work, {item.fact.participation_id for item in found if item.fact.participation_id}
                    )
                )
                batch.take_items(found)
                cause = Cause(CAMPAIGNS.name, campaign, row.campaign_version, "campaign.settles", at)
                for item in found:
                    batch.post(books, approve(books, item, cause))
                await batch.save()
            finished = len(found) < CHUNK
            if finished:
                await job.done(work)
