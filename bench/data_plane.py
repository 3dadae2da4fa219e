"""Latency and throughput of relay and intake beside the bare limit: `python bench/data_plane.py [records]`.

Starts a stack of its own in a temporary folder. Prints medians of the way unit of work → Kafka → reader's
commit on an idle system, and records per second of each part beside a bare producer, COPY and consumer.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from sqlalchemy import Column, Integer, MetaData, Table, Text, Uuid

from souk.chassis.clock import SystemClock
from souk.chassis.consumer import IntakeRunner
from souk.chassis.database import open_engine
from souk.chassis.envelope import unpack
from souk.chassis.intake import Intake
from souk.chassis.migrations import migrate
from souk.chassis.relay import Relay
from souk.chassis.settings import KafkaAccess
from souk.chassis.store import upsert_newer
from souk.chassis.work import Units, Work
from souk.contracts.state import State
from souk.contracts.topic import Topic
from souk.local import control, provision
from souk.local.folder import Folder
from souk.local.stack import of_folder


class Thing(State):
    group: UUID
    name: str


THINGS: Topic[Thing] = Topic(
    name="campaign.things.v1",
    owner="campaign",
    state=Thing,
    events=("thing.made",),
    readers=frozenset({"billing"}),
    data_class="public",
    partition_by="group",
    description="of this measurement",
)
COPY = Table(
    "copy",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("version", Integer),
    Column("group", Uuid),
    Column("name", Text),
)
MIGRATION = """
from alembic import op
from souk.chassis.migrations import chassis_tables
revision, down_revision = "0001", None
def upgrade():
    chassis_tables.create(op)
    op.execute('CREATE TABLE copy (id uuid PRIMARY KEY, version int, "group" uuid, name text)')
"""


def thing() -> Thing:
    return Thing(id=uuid4(), version=1, changed_at=datetime.now(UTC), group=uuid4(), name="x" * 220)


async def handle(work: Work, things: Sequence[Thing]) -> None:
    await upsert_newer(
        work, COPY, [{"id": t.id, "version": t.version, "group": t.group, "name": t.name} for t in things]
    )


@dataclass
class Bench:
    writing: Units
    reading: Units
    writer: Any
    reader: Any
    kafka: dict[str, KafkaAccess]
    intake: Intake

    def relay(self) -> Relay:
        return Relay(self.writing, self.kafka["campaign"])

    def runner(self) -> IntakeRunner:
        return IntakeRunner(self.intake, self.reading, self.kafka["billing"])

    async def publish(self, *things: Thing) -> None:
        async with self.writing.begin() as work:
            work.publish("thing.made", *things)


@asynccontextmanager
async def opened(stack: Any, folder: Path) -> AsyncIterator[Bench]:
    (folder / "migrations" / "versions").mkdir(parents=True)
    (folder / "migrations" / "versions" / "0001_first.py").write_text(MIGRATION)
    units: dict[str, Units] = {}
    kafka: dict[str, KafkaAccess] = {}
    connections = []
    for service in ("campaign", "billing"):
        url = stack.postgres.url(service)
        await migrate(url, folder / "migrations")
        units[service] = Units(open_engine(url, "bench"), SystemClock(), service, [THINGS])
        connections.append(await asyncpg.connect(url))
        kafka[service] = stack.kafka.access(service)
    plans = [provision.plan(THINGS), *provision.dead_letter_plans()]
    provision.provision(stack.kafka.settings("admin"), plans)
    intake = Intake("billing")
    intake.reads(THINGS)(handle)
    yield Bench(units["campaign"], units["billing"], *connections, kafka, intake)
    for connection in connections:
        await connection.close()
    for each in units.values():
        await each.engine.dispose()


@asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(connection: Any, sql: str, *arguments: Any, every: float = 0.005) -> None:
    """Wait until a query gives true; at most two minutes."""
    async with asyncio.timeout(120):
        while not await connection.fetchval(sql, *arguments):  # noqa: ASYNC110
            await asyncio.sleep(every)


async def latency(bench: Bench) -> None:
    async with running(bench.relay().run(), bench.runner().run()):
        for _ in range(20):
            await seen_after(bench)
        for pause in (0.3, 0.0):
            taken = []
            for _ in range(100):
                taken.append(await seen_after(bench))
                await asyncio.sleep(pause)
            print(
                f"request to reader's commit, {pause} s apart: median {median(taken):.1f} ms, "
                f"p95 {sorted(taken)[94]:.1f} ms, most {max(taken):.1f} ms"
            )
        busy = process_time()
        await asyncio.sleep(5)
        print(f"idle relay and intake: {(process_time() - busy) / 5 * 100:.1f} % of a core")


async def seen_after(bench: Bench) -> float:
    """Milliseconds until one thing is in the reader's database."""
    state = thing()
    started = perf_counter()
    await bench.publish(state)
    await until(bench.reader, "SELECT EXISTS (SELECT FROM copy WHERE id = $1)", state.id, every=0.001)
    return (perf_counter() - started) * 1000


async def sending(bench: Bench, total: int) -> None:
    started = perf_counter()
    for _ in range(total // 1000):
        await bench.publish(*(thing() for _ in range(1000)))
    print(f"publishing, 1,000 a unit: {total / (perf_counter() - started):,.0f}/s")
    rows = await bench.writer.fetch("SELECT topic, partition, key, headers, payload FROM outbox ORDER BY id")
    producer = AIOKafkaProducer(
        **bench.kafka["campaign"].client(), enable_idempotence=True, max_batch_size=128 * 1024
    )
    await producer.start()
    ready = [(r["topic"], r["payload"], r["key"], r["partition"], None, unpack(r["headers"])) for r in rows]
    started = perf_counter()
    for start in range(0, len(ready), 500):
        await asyncio.gather(*[await producer.send(*each) for each in ready[start : start + 500]])
    bare = len(rows) / (perf_counter() - started)
    await producer.stop()
    async with running(bench.relay().run()):
        await until(bench.writer, "SELECT count(*) < $1 FROM outbox", total)
        started = perf_counter()
        await until(bench.writer, "SELECT NOT EXISTS (SELECT FROM outbox)")
        relayed = len(rows) / (perf_counter() - started)
    print(f"relay: {relayed:,.0f}/s beside a bare producer's {bare:,.0f}/s ({relayed / bare:.2f})")


async def reading(bench: Bench) -> None:
    consumer = AIOKafkaConsumer(**bench.kafka["billing"].client())
    await consumer.start()
    assigned = [TopicPartition(THINGS.name, number) for number in range(12)]
    consumer.assign(assigned)
    await consumer.seek_to_beginning(*assigned)
    on_log = sum((await consumer.end_offsets(assigned)).values())
    parsed: list[Thing] = []
    started = perf_counter()
    while len(parsed) < on_log:
        for batch in (await consumer.getmany(timeout_ms=100)).values():
            parsed += [THINGS.parse(record.value) for record in batch]
    parsing = on_log / (perf_counter() - started)
    await consumer.stop()
    rows = [(state.id, state.version, state.group, state.name) for state in parsed]
    await bench.reader.execute("CREATE TABLE bare (LIKE copy); TRUNCATE copy; DELETE FROM consumer_offset")
    started = perf_counter()
    for start in range(0, len(rows), 1000):
        await bench.reader.copy_records_to_table("bare", records=rows[start : start + 1000])
    copied = len(rows) / (perf_counter() - started)
    async with running(bench.runner().run()):
        await until(bench.reader, "SELECT EXISTS (SELECT FROM copy)")
        started = perf_counter()
        await until(bench.reader, "SELECT sum(next_offset) >= $1 FROM consumer_offset", on_log)
        applied = on_log / (perf_counter() - started)
    print(
        f"intake with an upsert: {applied:,.0f}/s beside bare consume and parse {parsing:,.0f}/s, "
        f"bare COPY of 1,000 {copied:,.0f}/s"
    )


async def measure(stack: Any, folder: Path, total: int) -> None:
    async with opened(stack, folder) as bench:
        await latency(bench)
        await sending(bench, total)
        await reading(bench)


def main() -> None:
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    with tempfile.TemporaryDirectory(prefix="souk-bench-") as root:
        folder = Folder(Path(root) / "stack")
        supervised = control.launch(folder, servers_only=True, lifeline=True)
        try:
            control.wait_ready(folder)
            asyncio.run(measure(of_folder(folder), Path(root), total))
        finally:
            supervised.stop()


if __name__ == "__main__":
    main()
