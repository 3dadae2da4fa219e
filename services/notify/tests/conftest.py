"""The service on a database of its own, and states as the other services publish them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from souk.chassis.clock import ManualClock, set_manual
from souk.chassis.database import open_engine
from souk.chassis.intake import Handler
from souk.chassis.migrations import migrate
from souk.chassis.timer_runner import TimerRunner
from souk.chassis.work import Units
from souk.contracts.ids import participation_id
from souk.contracts.money import Micros
from souk.contracts.state import State
from souk.contracts.topics.announcements import Announcement, Recipient
from souk.contracts.topics.budgets import Budget
from souk.contracts.topics.campaigns import Campaign
from souk.contracts.topics.contacts import Contact, PushSubscription
from souk.contracts.topics.influencers import Influencer
from souk.contracts.topics.participations import Participation
from souk.contracts.topics.payments import Payment
from souk.contracts.topics.posts import Metrics, Post
from souk.local.testing import empty
from souk.notify.subscriptions import intake
from souk.notify.timers import timers_of

START = datetime(2017, 9, 20, 1, tzinfo=UTC)
MARIE, KENJI, ANAN = (UUID(int=number) for number in (0xA1, 0xA2, 0xA3))
SPRING, AUTUMN = (UUID(int=number) for number in (0xC1, 0xC2))
POST, PAYMENT = UUID(int=0xD1), UUID(int=0xE1)
HOUR = timedelta(hours=1)
MIGRATIONS = Path(next(iter(find_spec("souk.notify").submodule_search_locations or ()))) / "migrations"  # type: ignore[union-attr]


def contact(of: UUID = MARIE, version: int = 1, **fields: Any) -> Contact:
    reachable = {"email": f"{of.int:x}@example.org"}
    return Contact(id=of, version=version, changed_at=START, **(reachable | fields))


def subscription(endpoint: str, **keys: str) -> PushSubscription:
    return PushSubscription(endpoint=endpoint, **({"p256dh": "p", "auth": "a"} | keys))


def influencer(of: UUID = MARIE, name: str = "Marie", version: int = 1) -> Influencer:
    return Influencer(id=of, version=version, changed_at=START, display_name=name, signed_up_at=START)


def campaign(of: UUID = SPRING, version: int = 1, **fields: Any) -> Campaign:
    usual: dict[str, Any] = {
        "advertiser_id": UUID(int=1),
        "type": "social",
        "lifecycle": "approved",
        "title": "Spring",
        "created_at": START,
        "start_date": date(2017, 9, 20),
        "end_date": date(2017, 10, 15),
        "starts_at": START,
        "ends_at": START + timedelta(days=25),
        "budget_version": 1,
    }
    return Campaign(id=of, version=version, changed_at=START, **(usual | fields))


def participation(
    of: UUID = MARIE, campaign_id: UUID = SPRING, version: int = 1, **fields: Any
) -> Participation:
    usual: dict[str, Any] = {"state": "joined", "joined_at": START}
    return Participation(
        id=participation_id(campaign_id, of),  # type: ignore[arg-type]
        version=version,
        changed_at=START,
        campaign_id=campaign_id,
        influencer_id=of,
        **(usual | fields),
    )


def budget(of: UUID = SPRING, version: int = 1, **fields: Any) -> Budget:
    usual: dict[str, Any] = {
        "currency": "USD",
        "budget": Micros(10),
        "budget_version": 1,
        "consumed": Micros(10),
        "status": "exhausted",
        "exhausted_at": START + HOUR,
    }
    return Budget(id=of, version=version, changed_at=START, campaign_id=of, **(usual | fields))


def post(of: UUID = MARIE, version: int = 1, post_id: UUID = POST, **fields: Any) -> Post:
    usual: dict[str, Any] = {
        "status": "effective",
        "title": "My day",
        "platform": "youtube",
        "external_id": "x",
        "url": "https://example.org/x",
        "counts": True,
        "campaign_id": SPRING,
    }
    return Post(
        id=post_id,
        version=version,
        changed_at=START,
        participation_id=UUID(int=2),
        influencer_id=of,
        account_id=UUID(int=3),
        published_at=START,
        found_at=START,
        observed_at=START,
        latest=Metrics(),
        counted=Metrics(),
        **(usual | fields),
    )


def payment(of: UUID = MARIE, version: int = 1, payment_id: UUID = PAYMENT, **fields: Any) -> Payment:
    net = Micros(1_234_560_000)
    usual: dict[str, Any] = {"status": "reviewing", "currency": "USD", "gross": net, "net": net}
    return Payment(
        id=payment_id,
        version=version,
        changed_at=START,
        influencer_id=of,
        run=date(2017, 11, 5),
        withholding=Micros(0),
        consumption_tax=Micros(0),
        fee=Micros(0),
        **(usual | fields),
    )


def announcement(
    recipients: Mapping[UUID, Sequence[UUID]], occasion: str = "started", part: int = 1, **fields: Any
) -> Announcement:
    usual: dict[str, Any] = {"id": uuid4(), "version": 1, "changed_at": START, "day": date(2017, 9, 20)}
    return Announcement(
        occasion=occasion,  # type: ignore[arg-type]
        part=part,
        parts=part,
        recipients=tuple(
            Recipient(influencer_id=one, campaign_ids=tuple(campaigns))
            for one, campaigns in recipients.items()
        ),
        **(usual | fields),
    )


@dataclass
class House:
    """The service's units, its clock, and its channels to the outside."""

    units: Units
    clock: Path
    outlets: dict[Any, Any] = field(default_factory=dict)

    async def hear(self, *states: State) -> None:
        """The states as one batch of the intake would bring them."""
        async with self.units.begin() as work:
            for subscription in intake.subscriptions.values():
                handler: Handler[Any] = subscription.handler
                if mine := [state for state in states if isinstance(state, subscription.topic.state)]:
                    await handler(work, mine)

    async def work_off(self) -> None:
        """Fire what is due, and what that makes due, until nothing is."""

        async def barrier(*topics: Any) -> None:
            return None

        async with running(TimerRunner(timers_of(self.outlets), self.units, barrier).run()):
            await eventually(lambda: self.holds("SELECT NOT EXISTS (SELECT FROM timer WHERE due_at <= :now)"))

    async def told(self, *states: State) -> list[tuple[Any, ...]]:
        await self.hear(*states)
        await self.work_off()
        return await self.deliveries()

    async def deliveries(self) -> list[tuple[Any, ...]]:
        """(kind, channel, influencer, status, detail) of all."""
        return await self.query(
            "SELECT kind, channel, influencer_id, status, detail FROM delivery "
            "ORDER BY kind, channel, influencer_id"
        )

    async def statuses(self) -> dict[str, str]:
        """Status by channel, where there is one delivery a channel."""
        return {row[1]: row[3] for row in await self.deliveries()}

    async def holds(self, sql: str) -> bool:
        return bool((await self.query(sql))[0][0])

    async def query(self, sql: str) -> list[tuple[Any, ...]]:
        async with self.units.begin(read_only=True) as work:
            return [
                tuple(row)
                for row in await work.fetch_all(text(sql), {"now": work.now} if ":now" in sql else {})
            ]

    async def execute(self, sql: str) -> None:
        async with self.units.begin() as work:
            await work.execute(text(sql))

    def advance(self, by: timedelta) -> None:
        set_manual(self.clock, ManualClock(self.clock).now() + by)


async def eventually(holds: Callable[[], Awaitable[Any]], within: float = 15.0) -> Any:
    """What `holds` gives once it is true."""
    async with asyncio.timeout(within):
        while not (result := await holds()):  # noqa: ASYNC110  what is waited for is in a server
            await asyncio.sleep(0.02)
    return result


@asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """The coroutines as tasks until the end of the block; one that ended by itself fails the test."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        assert isinstance(result, asyncio.CancelledError), result


@pytest.fixture(scope="session")
async def engine(make_database: Any) -> AsyncIterator[AsyncEngine]:
    database = make_database("notify")
    await migrate(database.url, MIGRATIONS)
    engine = open_engine(database.url, "notify test", pool=5)
    yield engine
    await engine.dispose()


@pytest.fixture
async def house(engine: AsyncEngine, tmp_path: Path) -> House:
    """Empty, at START."""
    clock = tmp_path / "clock"
    set_manual(clock, START)
    house = House(Units(engine, ManualClock(clock), "notify"), clock)
    await empty(engine)
    return house
