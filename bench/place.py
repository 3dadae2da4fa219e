"""The servers and the services that a workload needs, in a folder of their own that goes with them."""

import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaProducer

from souk.chassis import envelope
from souk.chassis.migrations import migrate
from souk.chassis.settings import KafkaAccess
from souk.contracts.state import State
from souk.contracts.topic import Service, Topic
from souk.local import suite, tokens
from souk.local.errors import StackError
from souk.local.folder import Folder, open_folder, remembered_ports
from souk.local.process import Spec
from souk.local.servers import names, servers
from souk.local.stack import Stack, of_folder
from souk.local.supervisor import Supervisor

_IN_FLIGHT = 3
BATCH = 500

_TABLES = """
from alembic import op
from souk.chassis.migrations import chassis_tables
revision, down_revision = "0001", None
def upgrade():
    chassis_tables.create(op)
    op.execute({sql!r})
"""

Record = tuple[str, bytes, bytes, int, list[tuple[str, bytes]]]
"""Topic, value, key, partition, headers."""


@dataclass(frozen=True, slots=True)
class Place:
    """Running servers and what was asked for beside them."""

    folder: Folder
    stack: Stack
    supervisor: Supervisor

    def access(self, principal: str) -> KafkaAccess:
        return self.stack.kafka.access(principal)

    def database(self, service: str) -> str:
        return self.stack.postgres.url(service)

    def port(self, name: str) -> int:
        return remembered_ports(self.folder)[name]

    def pid(self, name: str) -> int | None:
        process = self.supervisor.children[name].process
        return process.pid if process else None

    async def make_tables(self, service: str, sql: str) -> None:
        """The chassis's tables, and what `sql` creates, in a database that has no service's own."""
        versions = self.folder.root / f"tables-{service}" / "versions"
        versions.mkdir(parents=True)
        (versions / "0001_first.py").write_text(_TABLES.format(sql=sql))
        await migrate(self.database(service), versions.parent)

    @asynccontextmanager
    async def connected(self, service: str) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(self.database(service))
        try:
            yield connection
        finally:
            await connection.close()

    async def publish(self, topic: Topic[Any], states: Iterable[State]) -> None:
        """Put states on their topic as its owner does."""
        await produce(self.access(topic.owner), [record_of(topic, state) for state in states])


@asynccontextmanager
async def servers_alone() -> AsyncIterator[Place]:
    """Kafka, PostgreSQL and Valkey, without topics and tables."""
    async with _supervised(lambda _: ()) as place:
        yield place


@asynccontextmanager
async def services(*wanted: Service, more: Any = lambda _: ()) -> AsyncIterator[Place]:
    """Servers, topics and these services; tracking with its redirect.

    more: from the folder, the specs of what else is to run.
    """

    def specs(folder: Folder) -> Sequence[Spec]:
        chosen = suite.suite_ports(folder)
        tokens.signing_key(folder)
        found = [suite.topics_spec(folder, names())]
        for service in wanted:
            environment = suite.service_environment(folder, service, chosen)
            environment["SOUK_LOG_LEVEL"] = "WARNING"
            after = ("topics", f"{service}-migrate")
            command = (suite.script(service), "all")
            found += [
                suite.migration_spec(folder, service, environment),
                suite.service_spec(service, command, environment, chosen[service], after),
            ]
            if service == "tracking":
                redirect = (suite.script(service), "redirect")
                found.append(
                    suite.service_spec(suite.REDIRECT, redirect, environment, chosen[suite.REDIRECT], after)
                )
        return [*found, *more(folder)]

    async with _supervised(specs) as place:
        yield place


@asynccontextmanager
async def _supervised(more: Any) -> AsyncIterator[Place]:
    with tempfile.TemporaryDirectory(prefix="souk-bench-", ignore_cleanup_errors=True) as root:
        folder = Folder(Path(root) / "stack")
        open_folder(folder)
        supervisor = Supervisor(folder, [*servers(folder).specs, *more(folder)])
        try:
            await supervisor.start()
            if supervisor.failure:
                raise StackError(supervisor.failure)
            yield Place(folder, of_folder(folder), supervisor)
        finally:
            await supervisor.stop()


def record_of(topic: Topic[Any], state: State) -> Record:
    headers = envelope.encode(
        source=f"/souk/{topic.owner}",
        event=topic.events[0],
        subject=str(state.id),
        schema=topic.schema_id,
        time=state.changed_at,
        traceparent=None,
    )
    return topic.name, topic.dump(state), topic.key(state), topic.partition(state), envelope.unpack(headers)


@asynccontextmanager
async def producing(access: KafkaAccess) -> AsyncIterator[AIOKafkaProducer]:
    """A bare idempotent producer, set up as the relay's."""
    producer = AIOKafkaProducer(
        **access.client(), enable_idempotence=True, acks="all", max_batch_size=128 * 1024
    )
    await producer.start()
    try:
        yield producer
    finally:
        with suppress(Exception):
            await producer.stop()


async def send(producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
    """Send in batches of 500, three of them in flight; all are acknowledged at the end."""
    flying: list[list[Any]] = []
    for start in range(0, len(records), BATCH):
        if len(flying) == _IN_FLIGHT:
            for future in flying.pop(0):
                await future
        flying.append(
            [
                await producer.send(topic, value, key=key, partition=partition, headers=headers)
                for topic, value, key, partition, headers in records[start : start + BATCH]
            ]
        )
    for batch in flying:
        for future in batch:
            await future


async def produce(access: KafkaAccess, records: Sequence[Record]) -> None:
    async with producing(access) as producer:
        await send(producer, records)
