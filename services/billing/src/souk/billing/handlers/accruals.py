"""Posts, links and conversions become money, one by one in the order of their arrival."""

import asyncio
from collections.abc import Collection, Sequence
from uuid import UUID

from souk.billing.domain.books import Fact, Kind, fee_id
from souk.billing.domain.folding import fold, worth_of
from souk.billing.domain.worth import LARGEST
from souk.billing.handlers.batch import Batch, open_batch
from souk.billing.store import accounts
from souk.billing.store import books as store
from souk.chassis.timers import Job
from souk.chassis.work import Work

CATCHES_UP = "campaign.catches_up"
CHUNK = 2_000
"""Facts that one unit of work folds: a campaign may have waited with any number of them."""
_PART, _TURN = 250, 50
"""Facts that are folded while the ledger takes in those before, and between two turns of the event loop."""


async def take_facts(work: Work, facts: Sequence[Fact]) -> None:
    """Fold `facts` into their campaigns' books; those that can't be used yet are kept for `take_waiting`.

    Those of campaigns that are behind queue up: who came first has the budget first.
    """
    if not facts:
        return
    batch = await open_batch(work, {fact.campaign_id for fact in facts})
    behind = {key for key, row in batch.accounts.items() if row.behind}
    if behind:
        await store.queue(work, [fact for fact in facts if fact.campaign_id in behind])
        facts = [fact for fact in facts if fact.campaign_id not in behind]
    await _fold(batch, facts)


async def take_waiting(
    work: Work, campaigns: Collection[UUID], participations: Collection[UUID] | None = None
) -> None:
    """Fold what waited for these campaigns, or for these participations of theirs, as it had arrived.

    The campaigns are known. What is more than a part is left to `catch_up`, and the campaigns are behind
    until then; one that is already has its job.
    """
    batch = await open_batch(work, campaigns)
    current = {key for key, row in batch.accounts.items() if not row.behind}
    facts = await store.waiting(work, current, participations, CHUNK)
    await _fold(batch, facts)
    if len(facts) == CHUNK:
        await accounts.set_behind(work, current, behind=True)
        for campaign in current:
            work.schedule(CATCHES_UP, campaign, work.now)


async def catch_up(job: Job) -> None:
    """Fold the rest of what waited for a campaign, then what queued up behind it, part by part.

    A raise doesn't queue: it only adds to what there is.
    """
    campaign = UUID(job.timer.subject)
    is_behind = True
    while is_behind:
        async with job.units.begin() as work:
            batch = await open_batch(work, [campaign])
            facts = await store.waiting(work, [campaign], None, CHUNK)
            facts += await store.take_queued(work, campaign, CHUNK - len(facts))
            await _fold(batch, facts)
            is_behind = len(facts) == CHUNK
            if not is_behind:
                await accounts.set_behind(work, [campaign], behind=False)
                await job.done(work)


async def _fold(batch: Batch, facts: Sequence[Fact]) -> None:
    waiting = await _load(batch, facts)
    for start in range(0, len(facts), _PART):
        async with batch.writing():
            for number, fact in enumerate(facts[start : start + _PART]):
                if number % _TURN == 0:
                    await asyncio.sleep(0)
                _take(batch, fact, waiting)
    await batch.save()


async def _load(batch: Batch, facts: Sequence[Fact]) -> dict[UUID, int]:
    """Load what the facts touch; versions of those of their items that still wait."""
    ids = {fact.id for fact in facts}
    if paying := {key for key, books in batch.books.items() if books.rates.follower > 0}:
        ids |= {
            fee_id(fact.participation_id)
            for fact in facts
            if fact.kind == Kind.POST and fact.participation_id is not None and fact.campaign_id in paying
        }
    found = await store.items(batch.work, ids)
    credited = {fact.participation_id for fact in facts}
    credited |= {item.fact.participation_id for item, folded in found if folded}
    batch.take_participations(await store.participations(batch.work, credited - {None}))  # type: ignore[arg-type]
    batch.take_items(item for item, folded in found if folded)
    trading = _trading_places(batch, facts)
    batch.take_items(await store.rivals(batch.work, trading))
    await batch.load_capped(_losing(batch, facts) | trading)
    return {item.fact.id: item.fact.version for item, folded in found if not folded}


def _trading_places(batch: Batch, facts: Sequence[Fact]) -> set[UUID]:
    """The participations in which a post may take another's place, or leave it again."""
    trading: set[UUID] = set()
    single = {key: books for key, books in batch.books.items() if not books.multi_posting}
    for fact in facts if single else ():
        books = single.get(fact.campaign_id)
        if books and fact.kind == Kind.POST:
            participation = books.participations.get(fact.participation_id)  # type: ignore[arg-type]
            if participation and (fact.asks or participation.reinstated):
                trading.add(participation.id)
    return trading


def _losing(batch: Batch, facts: Sequence[Fact]) -> set[UUID]:
    """The participations in which something may fall, and leave cap room to other items: where there are any.

    What becomes capped by this batch alone is in the books already.
    """
    losing: set[UUID] = set()
    last: dict[UUID, tuple[int, bool]] = {}
    capped = {
        key: books
        for key, books in batch.books.items()
        if any(one.capped for one in books.participations.values())
    }
    for fact in facts if capped else ():
        books = capped.get(fact.campaign_id)
        if books is None:
            continue
        item = books.items.get(fact.id)
        worth, active = last.get(fact.id) or ((item.worth, item.fact.active) if item else (0, False))
        participation = books.participations.get(fact.participation_id) if fact.participation_id else None
        now = worth_of(books, participation, fact) if participation else 0
        last[fact.id] = (now, fact.active)
        falls = now < worth or (active and not fact.active)
        # Beyond what the sums hold an item is worth nothing: with the rest of the batch this one may be.
        if participation and (falls or participation.worth + now > LARGEST // 2):
            losing.add(participation.id)
        if item is not None and item.fact.participation_id not in (None, fact.participation_id):
            losing.add(item.fact.participation_id)
    return losing


def _take(batch: Batch, fact: Fact, waiting: dict[UUID, int]) -> None:
    if waiting.get(fact.id, 0) > fact.version:
        return
    books = batch.books.get(fact.campaign_id)
    is_nobodys = fact.participation_id is None
    if books is not None and (
        fact.id not in waiting if is_nobodys else fact.participation_id in books.participations
    ):
        batch.post(books, fold(books, fact))
        batch.waits.pop(fact.id, None)
        waiting.pop(fact.id, None)
        return
    if is_nobodys and fact.id not in waiting:
        return
    item = books.items.get(fact.id) if books else None
    if books and item:
        if item.fact.version >= fact.version:
            return
        # Credited to somebody who isn't known yet: the one before loses it now.
        batch.post(books, fold(books, fact._replace(participation_id=None)))
        books.drop(item)
    waiting[fact.id] = fact.version
    batch.waits[fact.id] = fact
