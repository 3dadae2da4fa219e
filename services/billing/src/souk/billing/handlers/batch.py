"""A batch of decisions on locked accounts: loaded as sets, folded in memory, saved and published as sets."""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row

from souk.billing.domain import ledger
from souk.billing.domain.books import Books, Entry, Fact, Item, Participation
from souk.billing.store import books as store
from souk.billing.store.ledger import Journal, Movement
from souk.chassis.work import Work
from souk.contracts.money import Micros
from souk.contracts.topics.budgets import Budget
from souk.contracts.topics.earnings import Earning, Reinstatement


class _Told(NamedTuple):
    """What an earning tells of a participation."""

    worth: int
    revenue: int
    capped: int
    refused: int
    approved: int
    reinstated: tuple[Any, ...]


class _Saved(NamedTuple):
    told: _Told
    cost: int
    live_posts: int
    approved_posts: int


@dataclass(slots=True)
class Batch:
    """Accounts locked, their books open, and what came of folding facts into them.

    waits: facts whose campaign, terms or participation isn't there yet, by id.
    """

    work: Work
    accounts: dict[UUID, Row[Any]]
    books: dict[UUID, Books] = field(default_factory=dict)
    entries: list[tuple[Books, Entry]] = field(default_factory=list)
    waits: dict[UUID, Fact] = field(default_factory=dict)
    budget_versions: dict[UUID, int] = field(default_factory=dict)
    _journal: Journal = field(init=False)
    _participations: dict[UUID, _Saved] = field(default_factory=dict)
    _items: dict[UUID, tuple[Any, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._journal = Journal(self.work)

    def post(self, books: Books, entries: Iterable[Entry]) -> None:
        self.entries.extend((books, entry) for entry in entries)

    def take_participations(self, found: Iterable[Participation]) -> None:
        for one in found:
            books = self.books.get(one.campaign_id)
            if books is not None and one.id not in books.participations:
                books.participations[one.id] = one
                self._participations[one.id] = _seen_participation(one)

    def take_items(self, found: Iterable[Item]) -> None:
        for one in found:
            books = self.books.get(one.fact.campaign_id)
            if books is not None and one.fact.id not in books.items:
                books.add(one)
                self._items[one.fact.id] = _seen_item(one)

    async def load_capped(self, participations: Collection[UUID]) -> None:
        """The capped items of those participations, for the room that a fall or a raise may leave."""
        wanted = [
            key
            for books in self.books.values()
            for key in participations
            if key in books.participations and books.participations[key].capped
        ]
        self.take_items(await store.capped_items(self.work, wanted))

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """What was posted so far goes into the ledger while the block runs.

        The block has to give the event loop turns, for the statements to go on.
        """
        entries, self.entries = self.entries, []
        await self._journal.draw_up([_movement(books, entry) for books, entry in entries])
        async with _meanwhile(self._journal.write()):
            yield

    async def save(self) -> None:
        """Write everything that changed, and publish the earnings and budgets that did.

        Each part is put together while PostgreSQL takes in the one before it.
        """
        now = self.work.now
        async with self.writing():
            items = await self._changed_items()
        async with _meanwhile(store.save_items(self.work, items)):
            participations = await self._changed_participations(now)
        await store.save_participations(self.work, participations)
        await self._journal.close()
        await self._save_accounts(now)

    async def _changed_items(self) -> list[store.Values]:
        rows: list[store.Values] = []
        for books in self.books.values():
            rows += [
                store.item_values(one, folded=True)
                for one in books.items.values()
                if self._items.get(one.fact.id) != _seen_item(one)
            ]
            await asyncio.sleep(0)
        return rows + [store.item_values(Item(fact), folded=False) for fact in self.waits.values()]

    async def _changed_participations(self, at: datetime) -> list[store.Values]:
        """Those that changed; what they tell anew is published."""
        rows: list[store.Values] = []
        for books in self.books.values():
            for one in books.participations.values():
                before, now = self._participations[one.id], _seen_participation(one)
                if before == now:
                    continue
                if before.told != now.told:
                    one.version += 1
                    event = _earning_event(before.told, now.told)
                    self.work.publish(event, earning_state(one, books.currency, at))
                rows.append(store.participation_values(one, books.purse.cap, at))
            await asyncio.sleep(0)
        return rows

    async def _save_accounts(self, at: datetime) -> None:
        rows = []
        for key, books in self.books.items():
            row, purse = self.accounts[key], books.purse
            budget_version = self.budget_versions.get(key, row.budget_version)
            before = (row.budget, row.budget_version, row.cap, row.consumed, row.revenue, row.exhausted)
            now = (purse.budget, budget_version, purse.cap, purse.consumed, purse.revenue, purse.exhausted)
            if before == now and row.version:
                continue
            exhausted_at = (row.exhausted_at if row.exhausted else at) if purse.exhausted else None
            saved = {
                "id": key,
                "version": row.version + 1,
                "budget": purse.budget,
                "budget_version": budget_version,
                "cap": purse.cap,
                "consumed": purse.consumed,
                "revenue": purse.revenue,
                "peak_cost": purse.peak,
                "exhausted": purse.exhausted,
                "exhausted_at": exhausted_at,
                "changed_at": at,
            }
            rows.append(saved)
            self.work.publish(_budget_event(row, purse.exhausted), budget_state({**row._mapping, **saved}))
        await store.save_accounts(self.work, rows)


@asynccontextmanager
async def _meanwhile(writing: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """PostgreSQL is at work on `writing` while the block runs, and has done it when the block is over."""
    task = asyncio.create_task(writing)
    try:
        # So that the statement is under way before the block takes the processor.
        await asyncio.sleep(0)
        yield
    finally:
        await task


async def open_batch(work: Work, campaigns: Collection[UUID]) -> Batch:
    """Lock the campaigns' accounts, in the order of their ids, and open the books of those that are known."""
    accounts = await store.lock(work, campaigns)
    books = {key: store.open_books(row) for key, row in accounts.items() if store.is_known(row)}
    return Batch(work, accounts, books)


def budget_state(row: Any) -> Budget:
    """The published state of an account, by column name."""
    return Budget(
        id=row["id"],
        version=row["version"],
        changed_at=row["changed_at"],
        campaign_id=row["id"],
        currency=row["currency"],
        budget=row["budget"],
        budget_version=row["budget_version"],
        consumed=row["consumed"],
        status="exhausted" if row["exhausted"] else "open",
        exhausted_at=row["exhausted_at"],
    )


def earning_state(one: Participation, currency: str, changed_at: datetime) -> Earning:
    """The published state of a participation's earning."""
    return Earning(
        id=one.id,
        version=one.version,
        changed_at=changed_at,
        campaign_id=one.campaign_id,
        influencer_id=one.influencer_id,
        currency=currency,
        worth=Micros(one.worth),
        revenue=Micros(one.revenue),
        capped=Micros(one.capped),
        refused=Micros(one.refused),
        approved=Micros(one.approved),
        reinstated=tuple(
            Reinstatement(post_id=post, post_version=version, granted=granted)
            for post, (version, granted) in one.reinstated.items()
        ),
    )


def _seen_participation(one: Participation) -> _Saved:
    told = _Told(one.worth, one.revenue, one.capped, one.refused, one.approved, tuple(one.reinstated.items()))
    return _Saved(told, one.cost, one.live_posts, one.approved_posts)


def _seen_item(one: Item) -> tuple[Any, ...]:
    return (
        one.fact, one.worth, one.earned, one.capped, one.refused, one.payable, one.approved_at,
        one.approved_worth, one.reason,
    )  # fmt: skip


def _earning_event(before: _Told, now: _Told) -> str:
    if now.approved > before.approved:
        return "earning.approved"
    return "earning.accrued" if now.revenue > before.revenue else "earning.changed"


def _budget_event(row: Row[Any], exhausted: bool) -> str:
    if row.version == 0:
        return "budget.opened"
    if exhausted == row.exhausted:
        return "budget.consumed"
    return "budget.exhausted" if exhausted else "budget.reopened"


_OWNED_BY_CAMPAIGN = frozenset({"receivable", "margin"})


def _movement(books: Books, entry: Entry) -> Movement:
    legs = (
        ledger.approval(entry.payable)
        if entry.approves
        else ledger.accrual(entry.cost, entry.earned, entry.payable)
    )
    one, cause = entry.participation, entry.cause
    return Movement(
        kind="approval" if entry.approves else "accrual",
        legs=[(leg, books.campaign_id if leg[0] in _OWNED_BY_CAMPAIGN else one.id) for leg in legs],
        currency=books.currency,
        at=cause.at,
        topic=cause.topic,
        subject=cause.subject,
        version=cause.version,
        event=cause.event,
        inputs=entry.inputs,
        influencer_id=one.influencer_id,
        campaign_id=books.campaign_id,
        participation_id=one.id,
        item_id=entry.item_id,
    )
