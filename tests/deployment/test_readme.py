"""Every command that README.md shows is run here, or named with the reason why not."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
from months import README_MONTH, outside_make

from souk.local.folder import Folder, free_port
from souk.local.stack import Stack
from souk.local.testing import MakeDatabase
from souk.local.tokens import ISSUER, signing_key

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent
PATIENCE = 120.0

ELSEWHERE = {
    README_MONTH: "tests/journeys plays it and looks at its figures",
    "make demo": "it is the same without options",
    "make test": "it runs this test",
    "sh deploy/docker/secrets.sh": "it is for Docker, which isn't here; test_compose.py checks what it feeds",
    "docker compose --env-file deploy/docker/.env up --build --wait": "it needs a Docker engine",
}
"""Commands that this file doesn't run, each with the reason."""

SUITE = (
    "make up",
    "TOKEN=$(.venv/bin/souk token --as staff)",
    'curl -s -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/v1/campaigns',
    "make down",
)
ALONE = (
    ". .venv/bin/activate",
    "export SOUK_KAFKA=127.0.0.1:9092 SOUK_KAFKA_PROTOCOL=SASL_PLAINTEXT",
    "SOUK_ADMIN_KAFKA_USER=admin SOUK_ADMIN_KAFKA_PASSWORD=… souk provision",
    "export SOUK_BILLING_KAFKA_USER=billing SOUK_BILLING_KAFKA_PASSWORD=…",
    "export SOUK_BILLING_DATABASE=postgresql://billing:…@127.0.0.1:5432/billing",
    "export SOUK_BILLING_LISTEN=127.0.0.1:8104",
    "export SOUK_OIDC_ISSUER=https://login.example SOUK_OIDC_JWKS=https://login.example/keys",
    "souk-billing migrate",
    "souk-billing all",
)


def commands() -> list[str]:
    """The lines of the README's shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_every_command_is_run_or_excepted_by_name() -> None:
    assert sorted(commands()) == sorted([*SUITE, *ALONE, *ELSEWHERE])


def test_services_and_topics_are_pictured() -> None:
    (picture,) = re.findall(r"^```mermaid\n(.*?)^```", README, re.MULTILINE | re.DOTALL)

    assert picture.startswith("flowchart")
    for name in ("campaign", "influencer", "tracking", "billing", "notify", "Kafka", "Envoy"):
        assert name in picture


def test_what_is_linked_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def run(script: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["sh", "-euc", script],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_suite_is_started_asked_and_stopped(tmp_path: Path) -> None:
    port = free_port(set())
    environment = {**outside_make(), "SOUK_DATA": str(tmp_path / "data"), "SOUK_GATEWAY_PORT": str(port)}
    up, token, curl, down = SUITE
    assert ":8080/" in curl

    try:
        said = run(up, environment)
        answer = run("\n".join(printed(said)), environment)
        lag = run(".venv/bin/souk run billing lag", environment)
    finally:
        stopped = run(down, environment)

    assert printed(said) == [
        token.replace("$(", f"$(SOUK_DATA={environment['SOUK_DATA']} "),
        curl.replace(":8080/", f":{port}/"),
    ]
    assert ":8080" not in said
    assert answer.startswith('{"items":[')
    assert json.loads(lag)["outbox"] == 0
    assert "Stopped." in stopped
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/")


def printed(said: str) -> list[str]:
    """The commands that `make up` says to try."""
    return [line.strip() for line in said.partition("Try:\n")[2].splitlines()]


@dataclass(frozen=True, slots=True)
class Place:
    """Where billing runs alone. listen: its own address."""

    listen: str
    environment: dict[str, str]


@pytest.fixture
def place(stack: Stack, topics: object, database: MakeDatabase, tmp_path: Path) -> Place:
    """The README's exports, with the addresses and secrets of the servers at hand."""
    login = stack.kafka.logins["billing"]
    listen = f"127.0.0.1:{free_port(set())}"
    folder = Folder(tmp_path)
    signing_key(folder)
    filled = {
        "SOUK_KAFKA": stack.kafka.bootstrap,
        "SOUK_KAFKA_PROTOCOL": stack.kafka.protocol,
        "SOUK_BILLING_KAFKA_USER": login.user,
        "SOUK_BILLING_KAFKA_PASSWORD": login.password,
        "SOUK_BILLING_DATABASE": database("billing").url,
        "SOUK_BILLING_LISTEN": listen,
        "SOUK_OIDC_ISSUER": ISSUER,
        "SOUK_OIDC_JWKS": str(folder.jwks),
    }
    exported = [
        name.partition("=")
        for line in ALONE
        if line.startswith("export ")
        for name in shlex.split(line.removeprefix("export "))
    ]
    assert {name for name, _, _ in exported} == filled.keys()
    assert {name: value for name, _, value in exported}["SOUK_KAFKA_PROTOCOL"] == stack.kafka.protocol
    return Place(listen, {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(tmp_path), **filled})


async def test_the_role_of_the_readme_owns_its_database(stack: Stack) -> None:
    (block,) = re.findall(r"^```sql\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    role = f"readme_{uuid4().hex[:8]}"
    admin = await asyncpg.connect(stack.postgres.url("admin"))

    try:
        for statement in block.replace("billing", role).replace("…", role).splitlines():
            await admin.execute(statement)
        host, port = stack.postgres.host, stack.postgres.port
        owner = await asyncpg.connect(f"postgresql://{role}:{role}@{host}:{port}/{role}")
        await owner.execute("CREATE TABLE made (id int)")
        await owner.close()
    finally:
        await admin.execute(f"DROP DATABASE IF EXISTS {role}")
        await admin.execute(f"DROP ROLE IF EXISTS {role}")
        await admin.close()


def test_one_service_runs_alone(place: Place, stack: Stack) -> None:
    activate, *_, migrate, everything = ALONE
    provision = next(line for line in ALONE if line.endswith("provision"))

    login = stack.kafka.logins["admin"]
    made = run(f"{activate}\n{provision.replace('…', login.password)}", place.environment)
    run(migrate, place.environment)
    process = subprocess.Popen(
        shlex.split(everything), env=place.environment, executable=BIN / "souk-billing"
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not is_ready(place.listen):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        unknown = httpx.get(f"http://{place.listen}/v1/payments")
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)

    assert re.match(r"\d+ topics: ", made)
    assert unknown.json()["reason"] == "unauthenticated"
    assert code == 0


def is_ready(listen: str) -> bool:
    try:
        return httpx.get(f"http://{listen}/health/ready", timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
