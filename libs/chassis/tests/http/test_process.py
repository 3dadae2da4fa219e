"""A service as it is run: its own process, real PostgreSQL and Kafka, its command line, signals."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

MAIN = """
from pathlib import Path
from typing import ClassVar
from fastapi import Response
from sqlalchemy import text
from souk.chassis.commands import commands
from souk.chassis.http import Routes, WorkDep
from souk.chassis.process import Parts, Service
from souk.chassis.settings import ServiceSettings

class Settings(ServiceSettings):
    service: ClassVar[str] = "billing"

def build(settings):
    routes = Routes(prefix="/v1/things", tags=["things"], public=True)

    @routes.post("/{name}", status_code=201)
    async def make(name: str, work: WorkDep) -> None:
        await work.execute(text("INSERT INTO thing VALUES (:name)"), {"name": name})
        await work.execute(text("SELECT pg_sleep(:wait)"), {"wait": 1.0 if name == "slow" else 0.0})

    return Parts(routers=[routes])

commands(Service("billing", Settings, build, Path(__file__).parent / "migrations"))()
"""

MIGRATION = """
from alembic import op
from souk.chassis.migrations import chassis_tables
revision, down_revision = "0001", None

def upgrade():
    chassis_tables.create(op)
    chassis_tables.add_timer_traceparent(op)
    op.execute("CREATE TABLE thing (name text PRIMARY KEY)")
"""


@pytest.fixture
def service(tmp_path: Path, stack, topics, database_of_billing):
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions / "0001_things.py").write_text(MIGRATION)
    (tmp_path / "main.py").write_text(MAIN)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        **stack.environment("billing"),
        "SOUK_BILLING_DATABASE": database_of_billing,
        "SOUK_BILLING_LISTEN": listen,
    }
    return [sys.executable, str(tmp_path / "main.py")], environment, f"http://{listen}"


@pytest.fixture
def database_of_billing(make_database):
    return make_database("billing").url


def _command(service, *arguments):
    command, environment, _ = service
    ran = subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, timeout=30, check=False
    )
    assert ran.returncode == 0, ran.stderr.decode()
    return [json.loads(line) for line in ran.stdout.decode().splitlines()]


async def _ready(url, process):
    async with asyncio.timeout(30), httpx.AsyncClient() as client:
        while process.poll() is None:
            try:
                answer = await client.get(f"{url}/health/ready")
            except httpx.HTTPError:
                await asyncio.sleep(0.02)
                continue
            if answer.status_code == 200:
                return
            await asyncio.sleep(0.02)
    raise AssertionError(process.communicate()[1].decode())


async def _request_is_open(client):
    async with asyncio.timeout(5):
        while True:
            if "souk_http_requests_open 1.0" in (await client.get("/metrics")).text:
                return
            await asyncio.sleep(0.01)


def _started(service, mode):
    command, environment, _ = service
    return subprocess.Popen([*command, mode], env=environment, stderr=subprocess.PIPE)


async def test_service_migrates_becomes_ready_serves_and_ends_in_order(service):
    _, _, url = service
    before = _command(service, "migrate")
    again = _command(service, "migrate")
    process = _started(service, "all")
    try:
        await _ready(url, process)
        async with httpx.AsyncClient(base_url=url) as client:
            pulse = (await client.get("/internal/pulse")).json()
            slow = asyncio.create_task(client.post("/v1/things/slow"))
            await _request_is_open(client)
            process.send_signal(signal.SIGTERM)
            answer = await slow
            _, errors = process.communicate(timeout=12)
            with pytest.raises(httpx.ConnectError):
                await client.get("/metrics")
    finally:
        process.kill()

    assert (before, again) == ([{"migrated": True}], [{"migrated": False}])
    assert answer.status_code == 201
    assert process.returncode == 0, errors.decode()
    assert {"outbox": 0, "lag": 0, "parked": 0, "due": 0}.items() <= pulse.items()
    assert not [
        line for line in errors.decode().splitlines() if json.loads(line)["level"] in ("error", "critical")
    ]
    assert _command(service, "lag")[0]["outbox"] == 0
    assert _command(service, "deadletter", "list") == []


async def test_service_without_its_schema_is_live_but_not_ready(service):
    _, _, url = service
    process = _started(service, "api")
    try:
        async with asyncio.timeout(20), httpx.AsyncClient(base_url=url) as client:
            while True:
                try:
                    live = await client.get("/health/live")
                    break
                except httpx.HTTPError:
                    await asyncio.sleep(0.02)
            ready = await client.get("/health/ready")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=12)
    finally:
        process.kill()

    assert live.status_code == 200
    assert (ready.status_code, list(ready.json()["missing"])) == (503, ["database"])
    assert process.returncode == 0
