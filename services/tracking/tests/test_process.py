"""The service as it is deployed: migrated, started, asked with a token, stopped."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
from sqlalchemy.ext.asyncio import create_async_engine

from souk.local.folder import Folder
from souk.local.tokens import token
from souk.tracking.store.tables import metadata

from .test_redirect import eventually, free_port

COMMAND = str(Path(sys.executable).parent / "souk-tracking")


async def test_the_service_starts_answers_and_stops(stack, topics, make_database, tmp_path):
    made = make_database("tracking")
    folder, port = Folder(tmp_path), free_port()
    bearer = token(folder, "staff")
    environment = {
        **os.environ, **stack.environment("tracking"), "SOUK_TRACKING_DATABASE": made.url,
        "SOUK_TRACKING_LISTEN": f"127.0.0.1:{port}", "SOUK_TRACKING_SECRET": "a secret of the tests",
        "SOUK_OIDC_JWKS": str(folder.jwks), "SOUK_LOG_LEVEL": "WARNING",
    }  # fmt: skip
    await asyncio.to_thread(subprocess.run, [COMMAND, "migrate"], env=environment, check=True, timeout=60)
    process = await asyncio.to_thread(subprocess.Popen, [COMMAND, "all"], env=environment)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:

            async def ready():
                try:
                    return (await client.get("/health/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(ready)
            listed = await client.get("/v1/posts", headers={"Authorization": f"Bearer {bearer}"})
            nobody = await client.get("/v1/posts")
            pulse = (await client.get("/internal/pulse")).json()
        process.send_signal(signal.SIGTERM)
        stopped = await asyncio.to_thread(process.wait, 20)
    finally:
        process.kill()
        process.wait(10)

    assert (listed.status_code, listed.json()) == (200, {"items": [], "next": None})
    assert (nobody.status_code, nobody.json()["reason"]) == (401, "unauthenticated")
    assert pulse["next_due"] is not None, json.dumps(pulse)
    assert stopped == 0
    assert await differences(made.url) == []


def test_it_does_not_start_when_clicks_would_go_before_their_orders_come():
    environment = {
        **os.environ, "SOUK_KAFKA": "unused", "SOUK_TRACKING_DATABASE": "postgresql://unused", "SOUK_TRACKING_SECRET": "a secret of the tests",  # noqa: E501
        "SOUK_TRACKING_CLICKS_KEPT_DAYS": "364",
    }  # fmt: skip

    ended = subprocess.run(
        [COMMAND, "all"], env=environment, check=False, capture_output=True, text=True, timeout=60
    )

    assert ended.returncode == 2
    assert ended.stderr == (
        "Wrong settings: SOUK_TRACKING_CLICKS_KEPT_DAYS (must be 365 at least: an order may be credited to a"
        " click that long after it)\n"
    )


async def differences(url):
    """What the migrations made otherwise than the tables say."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))

    def compare(connection):
        own = {table.name for table in metadata.sorted_tables}
        context = MigrationContext.configure(
            connection,
            opts={
                "include_name": lambda name, kind, parents: kind != "table" or name in own,
                "compare_type": True,
            },
        )
        return compare_metadata(context, metadata)

    async with engine.connect() as connection:
        found = await connection.run_sync(compare)
    await engine.dispose()
    return found
