"""Databases of the services, empty, for what the rig's checks make of rows."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest
from effects import Databases

from souk.chassis.migrations import migrate
from souk.contracts.topic import SERVICES, Service
from souk.local.testing import Database, MakeDatabase


@pytest.fixture(scope="session")
async def migrated(make_database: MakeDatabase) -> dict[Service, Database]:
    made = {service: make_database(service) for service in SERVICES}
    for service, each in made.items():
        found = find_spec(f"souk.{service}")
        assert found is not None
        await migrate(each.url, Path(next(iter(found.submodule_search_locations or ()))) / "migrations")
    return made


@pytest.fixture
async def databases(migrated: dict[Service, Database]) -> AsyncIterator[Databases]:
    """What a test writes is taken back at its end."""
    async with AsyncExitStack() as opened:
        connections = {}
        for service, each in migrated.items():
            connections[service] = connection = await asyncpg.connect(each.url)
            opened.push_async_callback(connection.close)
            transaction = connection.transaction()
            await transaction.start()
            opened.push_async_callback(transaction.rollback)
        yield connections
