"""Billing on a database of its own, told what other services would tell it, and asked over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import httpx
import pytest
from sqlalchemy import delete, func, select, text

from souk.billing.main import SERVICE, build
from souk.billing.settings import BillingSettings
from souk.billing.store.tables import (
    account,
    balance,
    entry,
    item,
    participation,
    payment,
    posting,
    queued_fact,
)
from souk.billing.subscriptions import intake
from souk.billing.timers import timers
from souk.chassis import envelope
from souk.chassis.clock import ManualClock, SystemClock, set_manual
from souk.chassis.database import open_engine
from souk.chassis.http import application
from souk.chassis.jwks import TokenVerifier
from souk.chassis.migrations import migrate
from souk.chassis.server import served
from souk.chassis.tables import outbox, timer
from souk.chassis.timer_runner import TimerRunner
from souk.chassis.work import Units
from souk.contracts.ids import CampaignId, InfluencerId, participation_id
from souk.contracts.money import MICROS
from souk.contracts.permissions import Role
from souk.contracts.state import State
from souk.contracts.topics import topic_named, topic_of
from souk.contracts.topics.campaigns import Campaign, Rates
from souk.contracts.topics.conversions import Conversion, OrderLine
from souk.contracts.topics.influencers import Influencer
from souk.contracts.topics.links import Link
from souk.contracts.topics.participations import Participation
from souk.contracts.topics.payees import Payee
from souk.contracts.topics.posts import Metrics, Post
from souk.contracts.topics.terms import Terms
from souk.local.folder import Folder
from souk.local.testing import MakeDatabase, empty
from souk.local.tokens import AUDIENCE, ISSUER, token

START = datetime(2017, 9, 14, tzinfo=UTC)
ENDS = datetime(2017, 10, 16, 4, tzinfo=UTC)
_NAMES = UUID("00000000-0000-4000-8000-000000000000")


def named(name: str) -> UUID:
    """The same id for the same name, so that a test's figures don't depend on chance."""
    return uuid5(_NAMES, name)


class States:
    """States with sensible defaults, of one campaign unless another is named. Amounts in micros."""

    def __init__(self) -> None:
        self._versions: dict[UUID, int] = {}
        self.now = START

    def _next(self, subject: UUID) -> dict[str, Any]:
        self._versions[subject] = self._versions.get(subject, 0) + 1
        return {"id": subject, "version": self._versions[subject], "changed_at": self.now}

    def campaign(self, name: str = "campaign", **fields: Any) -> Campaign:
        values: dict[str, Any] = {
            "advertiser_id": named("advertiser"),
            "type": "social",
            "lifecycle": "approved",
            "title": name,
            "created_at": START,
            "approved_at": START,
            "currency": "USD",
            "rates": Rates(view=1),
            "cap": None,
            "budget": 1_000 * MICROS,
            "budget_version": 1,
            "starts_at": datetime(2017, 9, 20, 4, tzinfo=UTC),
            "ends_at": ENDS,
        }
        return Campaign(**self._next(named(name)), **(values | fields))

    def terms(self, name: str = "campaign", margin: int = 0, agency_margin: int = 0) -> Terms:
        return Terms(**self._next(uuid5(_NAMES, name)), margin=margin, agency_margin=agency_margin)

    def participation(self, who: str = "ann", name: str = "campaign", **fields: Any) -> Participation:
        values: dict[str, Any] = {
            "campaign_id": named(name),
            "influencer_id": named(who),
            "state": "joined",
            "joined_at": START,
        }
        return Participation(**self._next(self.part(who, name)), **(values | fields))

    def post(
        self, post: str = "post", who: str = "ann", name: str = "campaign", *, views: int = 0, **fields: Any
    ) -> Post:
        counted = fields.pop("counted", Metrics(views=views))
        values: dict[str, Any] = {
            "campaign_id": named(name),
            "participation_id": self.part(who, name),
            "influencer_id": named(who),
            "account_id": named(f"account of {who}"),
            "platform": "youtube",
            "external_id": post,
            "url": f"https://youtube.example/{post}",
            "title": post,
            "published_at": START,
            "found_at": START,
            "status": "effective",
            "counts": True,
            "latest": counted,
            "observed_at": self.now,
            "counted": counted,
        }
        if fields.get("status") == "approved":
            values["approved_at"] = self.now
        return Post(**self._next(named(f"{name}/{post}")), **(values | fields))

    def link(self, who: str = "ann", name: str = "campaign", *, billable: int, **fields: Any) -> Link:
        return Link(
            **self._next(named(f"{name}/link of {who}")),
            campaign_id=named(name),
            participation_id=self.part(who, name),
            influencer_id=named(who),
            slug=who,
            url=f"https://souk.example/r/{who}",
            landing_url="https://shop.example",
            billable=billable,
            **fields,
        )

    def conversion(
        self,
        order: str = "order",
        who: str | None = "ann",
        name: str = "campaign",
        *,
        net: Sequence[int] = (),
        refunded: Sequence[int] = (),
        **fields: Any,
    ) -> Conversion:
        back = [*refunded, *[0] * len(net)]
        lines = tuple(OrderLine(id=str(n), net=amount, refunded=back[n]) for n, amount in enumerate(net))
        values: dict[str, Any] = {
            "campaign_id": named(name),
            "participation_id": self.part(who, name) if who else None,
            "influencer_id": named(who) if who else None,
            "order_id": order,
            "source": "shop",
            "attribution": "code",
            "ordered_at": self.now,
            "currency": "USD",
            "lines": lines,
            "verdict": "qualified",
        }
        return Conversion(**self._next(named(f"{name}/{order}")), **(values | fields))

    def payee(self, who: str = "ann", **fields: Any) -> Payee:
        values: dict[str, Any] = {"country": "US", "payment_mode": "automatic"}
        return Payee(**self._next(named(who)), **(values | fields))

    def influencer(self, who: str = "ann", **fields: Any) -> Influencer:
        return Influencer(**self._next(named(who)), display_name=who, signed_up_at=START, **fields)

    @staticmethod
    def name(name: str) -> UUID:
        return named(name)

    @staticmethod
    def part(who: str, name: str = "campaign") -> UUID:
        return participation_id(CampaignId(named(name)), InfluencerId(named(who)))


@dataclass(frozen=True, slots=True)
class Caller:
    http: httpx.AsyncClient
    bearer: str

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.http.get(path, params=query or None, headers={"Authorization": self.bearer})

    async def post(self, path: str, body: object = None, key: str | None = None) -> httpx.Response:
        headers = {"Authorization": self.bearer, "Idempotency-Key": key or uuid4().hex}
        return await self.http.post(path, json=body, headers=headers)


@dataclass(slots=True)
class Billing:
    """The service's parts on one database, and what tests look at afterwards."""

    units: Units
    clock: Path
    states: States = field(default_factory=States)

    async def tell(self, *states: State) -> None:
        """One batch, as the intake hands it over: topic by topic, each in its order."""
        async with self.units.begin() as work:
            for subscription in intake.subscriptions.values():
                mine = [state for state in states if topic_of(type(state)) is subscription.topic]
                if mine:
                    await subscription.handler(work, mine)

    async def tell_each(self, *states: State) -> None:
        for state in states:
            await self.tell(state)

    def at(self, instant: datetime) -> None:
        set_manual(self.clock, instant)
        self.states.now = instant

    async def run_timers(self, *on_the_way: State) -> None:
        """Do all work that is due by now, the way a worker does it, and return when none is left.

        on_the_way: states that are on their topics and not applied yet: a barrier waits for them.
        """

        async def barrier(*topics: object) -> None:
            await self.tell(*(state for state in on_the_way if topic_of(type(state)) in topics))

        async def work_off() -> None:
            async with asyncio.timeout(20):
                while await self._due():  # noqa: ASYNC110  the runner tells nobody when it is done
                    await asyncio.sleep(0.01)

        running = asyncio.create_task(TimerRunner(timers, self.units, barrier).run())
        try:
            await work_off()
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def _due(self) -> int:
        async with self.units.begin(read_only=True) as work:
            return await work.scalar(
                select(func.count()).select_from(timer).where(timer.c.due_at <= work.now)
            )

    async def run_payments(self, day: date = date(2017, 11, 5), *on_the_way: State) -> None:
        starts_at = datetime(day.year, day.month, day.day, 1, tzinfo=UTC)
        self.at(max(starts_at, self.states.now))
        async with self.units.begin() as work:
            work.schedule("payments.run", day.isoformat(), starts_at)
        await self.run_timers(*on_the_way)

    async def account(self, name: str = "campaign") -> Any:
        return (await self._rows(select(account).where(account.c.id == named(name))))[0]

    async def earning(self, who: str = "ann", name: str = "campaign") -> Any:
        query = select(participation).where(participation.c.id == States.part(who, name))
        return (await self._rows(query))[0]

    async def items(self, name: str) -> list[tuple[int, int, int]]:
        """Earned, capped and refused."""
        rows = await self._rows(select(item).where(item.c.name == name))
        return [(row.earned, row.capped, row.refused) for row in rows]

    async def item(self, name: str) -> Any:
        return (await self._rows(select(item).where(item.c.name == name)))[0]

    async def queued(self) -> int:
        """Facts that wait until their campaign has caught up."""
        return int((await self._rows(select(func.count()).select_from(queued_fact)))[0][0])

    async def entries(self) -> list[Any]:
        return await self._rows(select(entry).order_by(entry.c.id))

    async def payments(self) -> list[Any]:
        return await self._rows(select(payment).order_by(payment.c.run, payment.c.id))

    async def balances(self) -> dict[str, int]:
        """Of the ledger's accounts, whosoever they are."""
        query = select(balance.c.account, func.sum(balance.c.amount)).group_by(balance.c.account)
        return {name: int(amount) for name, amount in await self._rows(query) if amount}

    async def payable_at(self) -> list[tuple[datetime, int]]:
        """What became payable and when, in the order of the postings."""
        query = select(posting).where(posting.c.account == "payable").order_by(posting.c.id)
        return [(row.at, -row.amount) for row in await self._rows(query)]

    async def figures(self) -> list[Any]:
        """All that follows from the facts: what a rebuild in another order must give too."""
        items = await self._rows(
            select(
                item.c.name, item.c.worth, item.c.earned, item.c.capped, item.c.refused, item.c.payable
            ).order_by(item.c.name, item.c.kind)
        )
        parts = await self._rows(
            select(participation.c.influencer_id, participation.c.worth, participation.c.revenue,
                   participation.c.cost, participation.c.approved).order_by(participation.c.influencer_id)
        )  # fmt: skip
        accounts = await self._rows(
            select(account.c.id, account.c.consumed, account.c.exhausted).order_by(account.c.id)
        )
        return [tuple(row) for row in (*items, *parts, *accounts)]

    async def check_ledger(self) -> None:
        """domain.md §9.1 and 3: legs sum to zero, and stored balances are those of the postings."""
        sums = select(posting.c.currency, func.sum(posting.c.amount)).group_by(posting.c.currency)
        assert all(amount == 0 for _, amount in await self._rows(sums))
        key = (posting.c.account, posting.c.owner_id, posting.c.currency)
        rebuilt = select(*key, func.sum(posting.c.amount), func.count()).group_by(*key)
        kept = select(balance)
        assert {tuple(r) for r in await self._rows(rebuilt)} == {tuple(r) for r in await self._rows(kept)}
        of = {(row.account, row.owner_id): row.amount for row in await self._rows(kept)}
        for row in await self._rows(select(account)):
            assert of.get(("receivable", row.id), 0) == row.consumed
            assert of.get(("margin", row.id), 0) == row.revenue - row.consumed
        for row in await self._rows(select(participation)):
            assert -of.get(("accrued", row.id), 0) == row.revenue - row.approved

    async def published(self, kind: type[State] | None = None) -> list[tuple[str, Any]]:
        """Event and state of what was published, in order."""
        rows = await self._rows(select(outbox).order_by(outbox.c.id))
        found = [
            (
                dict(envelope.unpack(row.headers))["ce_type"].decode(),
                topic_named(row.topic).parse(row.payload),
            )
            for row in rows
        ]
        return [pair for pair in found if kind is None or isinstance(pair[1], kind)]

    async def forget_published(self) -> None:
        async with self.units.begin() as work:
            await work.execute(delete(outbox))

    async def sql(self, statement: str) -> None:
        async with self.units.begin() as work:
            await work.execute(text(statement))

    async def _rows(self, query: Any) -> list[Any]:
        async with self.units.begin(read_only=True) as work:
            return list(await work.fetch_all(query))


@dataclass(frozen=True, slots=True)
class Api:
    """The service behind a real socket, and callers of every role."""

    http: httpx.AsyncClient
    folder: Folder

    def caller(
        self,
        role: Role,
        *,
        organisation: UUID | None = None,
        influencer: UUID | None = None,
        user: UUID | None = None,
    ) -> Caller:
        fields: dict[str, Any] = {"organisation": organisation or uuid4(), "user": user}
        if role == "influencer":
            fields = {"influencer": influencer}
        return Caller(self.http, f"Bearer {token(self.folder, role, **fields)}")

    @property
    def staff(self) -> Caller:
        return self.caller("staff")


@pytest.fixture(scope="session")
async def shared_units(make_database: MakeDatabase) -> AsyncIterator[Units]:
    made = make_database("billing")
    await migrate(made.url, SERVICE.migrations_folder())
    engine = open_engine(made.url, "test", pool=5)
    yield Units(engine, SystemClock(), "billing")
    await engine.dispose()


@pytest.fixture(scope="session")
async def served_at(
    shared_units: Units, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[httpx.AsyncClient, Folder]]:
    folder = Folder(tmp_path_factory.mktemp("keys"))
    token(folder, "staff")
    parts = build(BillingSettings.model_construct())
    app = application(
        "billing",
        routers=parts.routers,
        units=shared_units,
        verifier=TokenVerifier(str(folder.jwks), ISSUER, AUDIENCE),
        permissions_of=parts.permissions_of,
    )
    async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=20) as client:
        yield client, folder


@pytest.fixture
async def billing(shared_units: Units, tmp_path: Path) -> Billing:
    """On empty tables, at the start of the story."""
    clock = tmp_path / "clock"
    set_manual(clock, START)
    shared_units.clock = ManualClock(clock)
    await empty(shared_units.engine)
    return Billing(shared_units, clock)


@pytest.fixture
def states(billing: Billing) -> States:
    return billing.states


@pytest.fixture
def api(billing: Billing, served_at: tuple[httpx.AsyncClient, Folder]) -> Api:
    return Api(*served_at)
