"""Revisions are applied whole or not at all."""

import shutil
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from souk.chassis.migrations import migrate

_SECOND = """
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.execute("CREATE TABLE half (id integer)")
    op.execute("CREATE TABLE {name} (id integer)")
"""


async def test_a_migration_that_fails_in_its_middle_leaves_nothing_and_can_be_tried_again(
    make_database: Any, migrations: Path, tmp_path: Path
) -> None:
    url = make_database("notify").url
    folder = shutil.copytree(migrations, tmp_path / "migrations")
    await migrate(url, folder)
    second = folder / "versions" / "0002_second.py"

    second.write_text(_SECOND.format(name="outbox"))
    with pytest.raises(Exception, match="already exists"):
        await migrate(url, folder)
    second.write_text(_SECOND.format(name="other"))

    assert await migrate(url, folder)
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == "0002"
    await connection.close()
