"""Two small services on real servers: `campaign` publishes things, `billing` reads them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from sqlalchemy import Column, Integer, MetaData, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncEngine

from souk.chassis.clock import ManualClock, set_manual
from souk.chassis.consumer import IntakeRunner
from souk.chassis.database import bare_dsn, open_engine
from souk.chassis.ends import LogEnds
from souk.chassis.intake import Intake
from souk.chassis.migrations import migrate
from souk.chassis.pulse import Pulse
from souk.chassis.relay import Relay
from souk.chassis.settings import KafkaAccess
from souk.chassis.work import Units, Work
from souk.contracts.state import State
from souk.contracts.topic import COMPACTED, KEPT_30_DAYS, Topic, partition_of
from souk.local import provision
from souk.local.testing import empty

START = datetime(2017, 9, 14, tzinfo=UTC)


class Thing(State):
    group: UUID
    name: str = ""


class Other(State):
    group: UUID
    name: str = ""


def topic(name: str, state: type[State], config: Mapping[str, str] = COMPACTED) -> Topic[Any]:
    return Topic(
        name=name,
        owner="campaign",
        state=state,
        events=(f"{name}.made", f"{name}.changed"),
        readers=frozenset({"campaign", "billing"}),
        data_class="public",
        partition_by="group",
        description="of this test",
        config=config,
    )


THINGS, OTHERS = topic("thing", Thing), topic("other", Other, KEPT_30_DAYS)

copy = Table(
    "copy",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", Text),
    Column("tags", ARRAY(Text)),
    Column("extra", JSONB),
)

FIRST_MIGRATION = """
from alembic import op
from souk.chassis.migrations import chassis_tables

revision = "0001"
down_revision = None

def upgrade() -> None:
    chassis_tables.create(op)
    chassis_tables.add_timer_traceparent(op)
    op.execute(
        "CREATE TABLE applied (seq bigint GENERATED ALWAYS AS IDENTITY, id uuid, version int, name text)"
    )
    op.execute(
        "CREATE TABLE copy (id uuid PRIMARY KEY, version int NOT NULL, name text, tags text[], extra jsonb)"
    )
"""


def group_in(partition: int) -> UUID:
    """An id whose things are in this partition."""
    while partition_of(found := uuid4()) != partition:
        pass
    return found


def thing(version: int = 1, partition: int = 3, name: str = "", id: UUID | None = None) -> Thing:  # noqa: A002
    return Thing(id=id or uuid4(), version=version, changed_at=START, group=group_in(partition), name=name)


async def eventually(holds: Callable[[], Awaitable[Any]], within: float = 15.0) -> Any:
    """What `holds` gives once it is true."""
    async with asyncio.timeout(within):
        while not (result := await holds()):  # noqa: ASYNC110  what is waited for is in a server
            await asyncio.sleep(0.02)
    return result


@asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """The coroutines as tasks until the end of the block; one that ended by itself fails the test."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        assert isinstance(result, asyncio.CancelledError), result


async def record(work: Work, states: Sequence[Any]) -> None:
    """A handler that notes every state it is given; a name that begins with `bad` can't be applied."""
    for state in states:
        if state.name.startswith("bad"):
            raise LookupError(f"no {state.name}")
        await work.execute(
            text("INSERT INTO applied (id, version, name) VALUES (:id, :version, :name)"),
            {"id": state.id, "version": state.version, "name": state.name},
        )


@dataclass
class House:
    """campaign, billing: units of work of two services. things, others: topics of this test alone."""

    campaign: Units
    billing: Units
    things: Topic[Any]
    others: Topic[Any]
    kafka: dict[str, KafkaAccess]
    clock: Path
    connect: Callable[[str], Units]
    admin: dict[str, Any]

    def relay(self) -> Relay:
        return Relay(self.campaign, self.kafka["campaign"])

    def intake(self, handler: Any = record, *topics: Topic[Any]) -> Intake:
        intake = Intake("billing")
        for each in topics or (self.things,):
            intake.reads(each)(handler)
        return intake

    def runner(self, intake: Intake, units: Units | None = None, park_run: int = 20) -> IntakeRunner:
        return IntakeRunner(intake, units or self.billing, self.kafka["billing"], park_run=park_run)

    def pulse(self, units: Units, intake: Intake | None) -> Pulse:
        return Pulse(units, intake, LogEnds(self.kafka[units.service]))

    async def publish(self, *states: State) -> None:
        async with self.campaign.begin() as work:
            for state in states:
                work.publish(f"{type(state).__name__.lower()}.made", state)

    async def make_anew(self, topic: Topic[Any]) -> None:
        """Delete a topic and create it; the deletion takes a moment to be true everywhere."""

        async def made() -> bool:
            try:
                await asyncio.to_thread(provision.provision, self.admin, [provision.plan(topic)])
            except Exception:  # noqa: BLE001  whatever says that it isn't so far yet
                return False
            return True

        provision.drop(self.admin, [topic.name])
        await eventually(made)

    async def query(self, sql: str, units: Units | None = None) -> list[tuple[Any, ...]]:
        async with (units or self.billing).begin(read_only=True) as work:
            return [tuple(row) for row in await work.fetch_all(text(sql))]

    async def applied(self) -> list[str]:
        return [name for (name,) in await self.query("SELECT name FROM applied ORDER BY seq")]

    async def produce(
        self,
        *values: tuple[int, bytes | None, bytes | None],
        headers: Any = None,
        appended: datetime | None = None,
    ) -> None:
        """Put records on `things` past the outbox: (partition, key, value).

        appended: for a topic whose records are stamped by who sends them.
        """
        producer = AIOKafkaProducer(**self.kafka["campaign"].client(), enable_idempotence=True)
        await producer.start()
        try:
            for partition, key, value in values:
                await producer.send_and_wait(
                    self.things.name,
                    value,
                    key=key,
                    partition=partition,
                    headers=headers,
                    timestamp_ms=round(appended.timestamp() * 1000) if appended else None,
                )
        finally:
            await producer.stop()

    async def on_log(self, topic: Topic[Any] | str, user: str = "billing", partitions: int = 12) -> list[Any]:
        """All records of a topic, by partition and offset."""
        name = topic if isinstance(topic, str) else topic.name
        consumer = AIOKafkaConsumer(**self.kafka[user].client())
        await consumer.start()
        try:
            assigned = [TopicPartition(name, number) for number in range(partitions)]
            consumer.assign(assigned)
            await consumer.seek_to_beginning(*assigned)
            ends = await consumer.end_offsets(assigned)
            starts = await consumer.beginning_offsets(assigned)
            missing = sum(ends.values()) - sum(starts.values())
            records: list[Any] = []
            async with asyncio.timeout(15):
                while len(records) < missing:
                    for batch in (await consumer.getmany(timeout_ms=200)).values():
                        records.extend(batch)
        finally:
            await consumer.stop()
        return sorted(records, key=lambda each: (each.partition, each.offset))


@pytest.fixture(scope="session")
def kafka(stack: Any, topics: Any) -> dict[str, KafkaAccess]:
    return {user: stack.kafka.access(user) for user in ("campaign", "billing", "admin")}


@pytest.fixture(scope="session")
def migrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("migrations")
    (folder / "versions").mkdir()
    (folder / "versions" / "0001_first.py").write_text(FIRST_MIGRATION)
    return folder


@pytest.fixture(scope="session")
async def engines(make_database: Any, migrations: Path) -> AsyncIterator[dict[str, AsyncEngine]]:
    """On a migrated database of each of the two services that play here."""
    made = {}
    for service in ("campaign", "billing"):
        url = make_database(service).url
        await migrate(url, migrations)
        made[service] = open_engine(url, "test", pool=1)
    yield made
    for engine in made.values():
        await engine.dispose()


@pytest.fixture
async def connected(
    stack: Any, engines: dict[str, AsyncEngine], kafka: dict[str, KafkaAccess], tmp_path: Path
) -> Callable[..., AbstractAsyncContextManager[House]]:
    """On empty tables, at the start of the story."""
    for engine in engines.values():
        await empty(engine)
    clock = tmp_path / "clock"
    set_manual(clock, START)

    @asynccontextmanager
    async def open_house(things: Topic[Any], others: Topic[Any]) -> AsyncIterator[House]:
        opened = []

        def connect(service: str) -> Units:
            opened.append(open_engine(bare_dsn(engines[service]), f"test {service}", pool=5))
            return Units(opened[-1], ManualClock(clock), service, (things, others))

        campaign, billing = connect("campaign"), connect("billing")
        admin = stack.kafka.settings("admin")
        yield House(campaign, billing, things, others, kafka, clock, connect, admin)
        for engine in opened:
            await engine.dispose()

    return open_house


@pytest.fixture
async def house(connected: Any, topic_copies: Any) -> AsyncIterator[House]:
    async with connected(*topic_copies(THINGS, OTHERS)) as opened:
        yield opened


@pytest.fixture
async def desk(connected: Any) -> AsyncIterator[House]:
    """A house without topics, for what happens in the database alone."""
    async with connected(THINGS, OTHERS) as opened:
        yield opened


def end_fetching(consumer: Any) -> None:
    """As a second error of a partition does whose first one was not asked for yet."""

    def fail(*_: Any) -> None:
        raise AssertionError("<FetchError error=OffsetOutOfRangeError()>")

    consumer._fetcher._get_actions_per_node = fail
    consumer._fetcher._notify(consumer._fetcher._wait_consume_future)
