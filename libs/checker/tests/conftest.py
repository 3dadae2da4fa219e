"""Topics of a test's own, written past every outbox, and databases that hold what a test puts there."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from souk.chassis.migrations import migrate
from souk.contracts.state import State
from souk.contracts.topic import SERVICES, Topic
from souk.contracts.topics.organisations import Organisation
from souk.contracts.topics.users import User
from souk.local.testing import Database, MakeDatabase

START = datetime(2017, 9, 14, tzinfo=UTC)
ACME, BIRD = UUID(int=0xA1), UUID(int=0xA2)


def organisation(of: UUID = ACME, version: int = 1, **fields: Any) -> Organisation:
    usual: dict[str, Any] = {"kind": "advertiser", "name": "Acme", "country": "US"}
    changed_at = START + timedelta(hours=version)
    return Organisation(id=of, version=version, changed_at=changed_at, **(usual | fields))


def user(of: UUID = BIRD, version: int = 1, **fields: Any) -> User:
    usual: dict[str, Any] = {"organisation_id": ACME, "levels": {"campaign": 2, "payment": 1}}
    return User(id=of, version=version, changed_at=START, **(usual | fields))


@pytest.fixture(scope="session")
def kafka(stack: Any) -> dict[str, Any]:
    """Arguments of an aiokafka client that may do everything."""
    found: dict[str, Any] = stack.kafka.access("admin").client()
    return found


Produce = Callable[..., Awaitable[None]]


@pytest.fixture
async def produce(kafka: dict[str, Any]) -> AsyncIterator[Produce]:
    """`produce(topic, state, …)`; a pair of key and bytes goes to partition 0 as it is."""
    producer = AIOKafkaProducer(**kafka, enable_idempotence=True)
    await producer.start()

    async def put(topic: Topic[Any], *records: State | tuple[bytes, bytes]) -> None:
        for record in records:
            key, value, partition = (
                (topic.key(record), topic.dump(record), topic.partition(record))
                if isinstance(record, State)
                else (*record, 0)
            )
            await producer.send_and_wait(topic.name, value, key=key, partition=partition)

    yield put
    await producer.stop()


@pytest.fixture(scope="session")
async def templates(make_database: MakeDatabase) -> dict[str, Database]:
    """A migrated database of every service."""
    made = {}
    for service in SERVICES:
        found = find_spec(f"souk.{service}")
        assert found is not None
        made[service] = make_database(service)
        migrations = Path(next(iter(found.submodule_search_locations or ()))) / "migrations"
        await migrate(made[service].url, migrations)
    return made


class _Urls(dict[str, str]):
    def __init__(self, make: Callable[[str], str]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, service: str) -> str:
        self[service] = self._make(service)
        return self[service]


@pytest.fixture
def urls(database: MakeDatabase, templates: dict[str, Database]) -> dict[str, str]:
    """The empty database of each service, made when it is asked for."""
    return _Urls(lambda service: database(service, templates[service]).url)


async def execute(url: str, sql: str, *values: Any) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql, *(json.dumps(v) if isinstance(v, dict | list) else v for v in values))
    finally:
        await connection.close()


def checks(findings: Any) -> list[str]:
    return sorted(one.check for one in findings)
