"""What went back under load is seen, however late it is committed; what nobody wrote is not read again."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID

import asyncpg
import pytest
from effects import Broken, Databases
from watch import Watch

from souk.contracts.topic import Service
from souk.local.testing import Database, MakeDatabase

_SET = """
INSERT INTO consumer_offset VALUES ('billing', 'tracking.posts.v1', $1, $2, $3)
ON CONFLICT ("group", topic, partition) DO UPDATE SET next_offset = excluded.next_offset
"""


@pytest.fixture
async def databases(database: MakeDatabase, migrated: dict[Service, Database]) -> AsyncIterator[Databases]:
    """For several connections to each."""
    async with AsyncExitStack() as opened:
        yield {
            service: await opened.enter_async_context(
                asyncpg.create_pool(database(service, each).url, min_size=0, max_size=2)
            )
            for service, each in migrated.items()
        }


async def test_what_went_back_is_seen_when_it_is_committed(databases: Databases) -> None:
    watch, billing = Watch(), databases["billing"]

    async def move(connection: asyncpg.Connection, partition: int, to: int) -> None:
        await connection.execute(_SET, partition, UUID(int=1), to)

    await move(billing, 1, 9)
    await watch.look(databases)
    async with billing.acquire() as late, late.transaction():
        await move(late, 1, 5)
        await move(billing, 2, 9)
        await watch.look(databases)
        await move(billing, 2, 10)
        await watch.look(databases)
        while_open = list(watch.broken)
    compared = watch.looks["position"]
    await watch.look(databases)

    assert while_open == []
    assert watch.broken == [Broken("went_back", "billing position", "tracking.posts.v1 1 from 9 to 5")]
    looks = watch.looks["position"]
    assert looks > compared
    await watch.look(databases)
    assert watch.looks["position"] == looks, "nothing was written since"
