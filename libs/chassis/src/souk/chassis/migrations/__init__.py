"""A service's migration history, applied; and the revision that its code needs.

A service's revisions are `src/souk/<service>/migrations/versions/<4 digits>_<what>.py`, each with
`revision = "<4 digits>"` and `down_revision` the one before (None for 0001): one line, no branches. No
env.py or alembic.ini is needed.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

_LOCK = 0x736F756B
_TIMEOUT = 60
_CONNECT_SECONDS = 30
"""Of a server that has only just begun to answer, beside whatever else is starting."""


def head(migrations: Path) -> str:
    """The revision that the code in `migrations` needs: the last by file name.

    Raises FileNotFoundError when there is none.
    """
    names = [path.name for path in (migrations / "versions").glob("[0-9][0-9][0-9][0-9]_*.py")]
    if not names:
        raise FileNotFoundError(f"no migration in {migrations / 'versions'}")
    return max(names)[:4]


async def migrate(url: str, migrations: Path) -> bool:
    """Bring the database at `url` (postgresql://…) to the head of `migrations`; whether anything was to do.

    Costs one connection and no import of Alembic when nothing is to do. Several at once wait for each
    other, at most 60 s (TimeoutError).
    """
    connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS, command_timeout=_TIMEOUT)
    try:
        wanted = head(migrations)
        if await _revision(connection) == wanted:
            return False
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        if await _revision(connection) == wanted:
            return False
        await _upgrade(url, migrations)
    finally:
        await connection.close()
    return True


async def is_current(engine: "AsyncEngine", migrations: Path) -> bool:
    """Whether the database stands at the revision that the code needs (readiness)."""
    from sqlalchemy import text
    from sqlalchemy.exc import ProgrammingError

    try:
        async with engine.connect() as connection:
            found = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    except ProgrammingError:  # no table: nothing was ever migrated
        return False
    return bool(found == head(migrations))


async def _revision(connection: asyncpg.Connection) -> str | None:
    try:
        revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    return revision


async def _upgrade(url: str, migrations: Path) -> None:
    from souk.chassis.database import open_engine

    engine = open_engine(url, "souk migrate", pool=1)
    try:
        async with engine.connect() as connection:
            # The engine commits statement by statement: all revisions are one transaction, or a failure in
            # the middle would leave what no later attempt gets past.
            await connection.execution_options(isolation_level="READ COMMITTED")
            async with connection.begin():
                await connection.run_sync(_run, migrations)
    finally:
        await engine.dispose()


def _run(connection: "Connection", migrations: Path) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(
        config, script, fn=lambda revision, _: script._upgrade_revs("head", revision), destination_rev="head"
    ) as environment:
        environment.configure(connection=connection, transactional_ddl=True)
        with environment.begin_transaction():
            environment.run_migrations()
