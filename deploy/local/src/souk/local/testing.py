"""pytest fixtures on real servers: one embedded stack for the whole session, shared by every test.

Servers that the environment names (see `souk.local.stack.of_environment`) are used instead.
"""

import dataclasses
import itertools
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from souk.contracts.topic import SERVICES, Topic
from souk.contracts.topics import TOPICS
from souk.local import control, provision
from souk.local.folder import Folder
from souk.local.postgres import admin_environment, run_sql
from souk.local.stack import Stack, of_environment, of_folder

_serial = itertools.count(1)
_EMPTY = """
DO $$
DECLARE
    name text;
    is_full boolean;
    is_guarded boolean;
    again boolean := true;
BEGIN
    WHILE again LOOP
        again := false;
        FOR name, is_guarded IN
            SELECT c.relname, EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
            FROM pg_class c
            WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
                AND c.relname <> 'alembic_version'
        LOOP
            EXECUTE format('SELECT EXISTS (SELECT FROM %I)', name) INTO is_full;
            CONTINUE WHEN NOT is_full;
            BEGIN
                IF is_guarded THEN
                    EXECUTE format('ALTER TABLE %I DISABLE TRIGGER USER', name);
                END IF;
                EXECUTE format('DELETE FROM %I', name);
                IF is_guarded THEN
                    EXECUTE format('ALTER TABLE %I ENABLE TRIGGER USER', name);
                END IF;
            EXCEPTION WHEN foreign_key_violation THEN
                again := true;
            END;
        END LOOP;
    END LOOP;
END $$
"""
"""Deleting a few rows is faster than truncating, which makes the files of a table and its indexes anew."""


@dataclasses.dataclass(frozen=True, slots=True)
class Database:
    """A database made for a test. url: postgresql://… with the login of `service`, which owns it."""

    service: str
    name: str
    url: str = dataclasses.field(repr=False)


MakeDatabase = Callable[..., Database]
MakeTopics = Callable[..., tuple[Topic[Any], ...]]


@pytest.fixture(scope="session")
def stack_folder() -> Iterator[Folder | None]:
    """The data folder of the session's embedded stack, running; None when the environment names servers."""
    if of_environment():
        yield None
        return
    root = Path(tempfile.mkdtemp(prefix="souk-test-"))
    folder = Folder(root)
    try:
        with control.Supervised(folder) as supervised:
            supervised.launch(servers_only=True, lifeline=True)
            control.wait_ready(folder)
            yield folder
    finally:
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def stack(stack_folder: Folder | None) -> Stack:
    """Kafka, PostgreSQL and Valkey, running, with every login."""
    return of_folder(stack_folder) if stack_folder else of_environment()  # type: ignore[return-value]


@pytest.fixture(scope="session")
def admin_sql(stack: Stack) -> Callable[[str], str]:
    """Runs a psql script as PostgreSQL's administrator and returns its rows."""
    environment = {
        **admin_environment(stack.postgres.port, stack.postgres.passwords["admin"]),
        "PGHOST": stack.postgres.host,
    }
    return lambda script: run_sql(environment, script)


@pytest.fixture(scope="session")
def make_database(stack: Stack, admin_sql: Callable[[str], str]) -> Iterator[MakeDatabase]:
    """`make_database("campaign")`: an empty database that this service's login owns, dropped in the end.

    `make_database("campaign", template=other)` copies another (nobody may be connected to it): migrate one
    database a session and copy it for each test.
    """
    made: list[str] = []

    def make(service: str, template: Database | None = None) -> Database:
        if service not in SERVICES:
            raise ValueError(f"{service!r} is none of {SERVICES}")
        name = f"{service}_{uuid4().hex[:6]}_{next(_serial)}"
        source = f" TEMPLATE {template.name} STRATEGY file_copy" if template else ""
        made.append(name)
        admin_sql(
            f"CREATE DATABASE {name} OWNER {service}{source};\n"
            f"REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC;"
        )
        return Database(service, name, stack.postgres.url(service, name))

    yield make
    admin_sql("\n".join(f"DROP DATABASE IF EXISTS {name} WITH (FORCE);" for name in made))


@pytest.fixture
def database(make_database: MakeDatabase, admin_sql: Callable[[str], str]) -> Iterator[MakeDatabase]:
    """Like `make_database`, dropped after the test."""
    made: list[Database] = []

    def make(service: str, template: Database | None = None) -> Database:
        made.append(make_database(service, template))
        return made[-1]

    yield make
    admin_sql("\n".join(f"DROP DATABASE IF EXISTS {each.name} WITH (FORCE);" for each in made))


@pytest.fixture(scope="session")
def topics(stack: Stack) -> tuple[Topic[Any], ...]:
    """Every topic of the contracts, and the dead-letter topics, with their ACLs, under their own names."""
    provision.provision_all(stack.kafka.settings("admin"))
    return TOPICS


@pytest.fixture
def topic_copies(stack: Stack) -> Iterator[MakeTopics]:
    """`topic_copies(CAMPAIGNS, POSTS)`: the same contracts under names of the test's own, with the same ACLs;
    dropped after the test."""
    made: list[str] = []

    def copies(*originals: Topic[Any]) -> tuple[Topic[Any], ...]:
        prefix = f"test-{uuid4().hex[:8]}"
        copied = tuple(dataclasses.replace(each, name=f"{prefix}.{each.name}") for each in originals)
        made.extend(each.name for each in copied)
        provision.provision(stack.kafka.settings("admin"), [provision.plan(each) for each in copied])
        return copied

    yield copies
    if made:
        provision.drop(stack.kafka.settings("admin"), made)


@pytest.fixture(scope="session")
def kill_process(stack_folder: Folder | None) -> Callable[[str, int], None]:
    """`kill_process("kafka", SIGKILL)`: the supervisor starts it again. Skips on servers not ours."""
    if stack_folder is None:
        pytest.skip("the servers are not ours to kill")
    return lambda name, number: control.kill(stack_folder, name, number)


@pytest.fixture(scope="session")
def restart_process(stack_folder: Folder | None) -> Callable[[str], None]:
    """`restart_process("kafka")`: stopped in order, started, ready again."""
    if stack_folder is None:
        pytest.skip("the servers are not ours to restart")
    return lambda name: control.restart(stack_folder, name)


async def page_plan(engine: AsyncEngine, request: Awaitable[httpx.Response]) -> str:
    """How PostgreSQL reads the one page that a service reads through `engine` to answer `request`."""
    asked: list[tuple[str, Any]] = []

    def listen(_c: Any, _cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
        if "LIMIT" in sql:
            asked.append((sql, parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", listen)
    try:
        answer = await request
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", listen)
    assert answer.status_code == httpx.codes.OK, answer.text
    [(sql, parameters)] = asked
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        return "\n".join(row[0] for row in await driver.fetch(f"EXPLAIN {sql}", *parameters))


async def empty(engine: AsyncEngine) -> None:
    """Leave no row in a service's database, also where the service itself may take none away.

    For what is migrated once a session: a database of its own costs a test twenty times as much.
    """
    async with engine.begin() as connection:
        await connection.exec_driver_sql(_EMPTY)
