"""docker-compose.yml was not run where it was written: here it is held against its schema and the code."""

import importlib
import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml

from souk.contracts.topic import SERVICES
from souk.local import gateway

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVERS = {"kafka", "postgres", "valkey", "collector", "gateway"}
OURS = sorted(COMPOSE["services"].keys() - SERVERS)
PROVISION = {"SOUK_ADMIN_KAFKA_USER", "SOUK_ADMIN_KAFKA_PASSWORD"}


def settings_of(service: str) -> type:
    module = importlib.import_module(f"souk.{service}.settings")
    return getattr(module, f"{service.capitalize()}Settings")


def service_of(name: str) -> str | None:
    owner = {"redirect": "tracking", "topics": None}
    return owner[name] if name in owner else name.removesuffix("-migrate")


def scripts() -> set[str]:
    found: set[str] = set()
    for file in (*ROOT.glob("services/*/pyproject.toml"), ROOT / "deploy/local/pyproject.toml"):
        found |= tomllib.loads(file.read_text())["project"].get("scripts", {}).keys()
    return found


def test_the_file_obeys_the_compose_specification() -> None:
    checker = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", OURS)
def test_each_command_exists(name: str) -> None:
    script, command = COMPOSE["services"][name]["command"]

    assert script in scripts()
    assert re.search(rf"^\W*{command}\s", help_of(script), re.MULTILINE)


@cache
def help_of(script: str) -> str:
    binary = Path(sys.executable).parent / script
    shown = subprocess.run([binary, "--help"], capture_output=True, text=True, check=True)
    return shown.stdout


@pytest.mark.parametrize("name", OURS)
def test_each_variable_is_a_setting(name: str) -> None:
    given = COMPOSE["services"][name]["environment"].keys()

    owner = service_of(name)
    fields = settings_of(owner or "campaign").model_fields
    known = {f"SOUK_{field.upper()}" for field in fields}
    if owner:
        known |= {f"SOUK_{owner.upper()}_{field.upper()}" for field in fields}
    else:
        known |= PROVISION
    assert given <= known


@pytest.mark.parametrize("name", OURS)
def test_each_mandatory_setting_is_given(name: str) -> None:
    owner = service_of(name)
    if owner is None:
        return
    given = COMPOSE["services"][name]["environment"].keys()

    for field, about in settings_of(owner).model_fields.items():
        if about.is_required():
            assert {f"SOUK_{field.upper()}", f"SOUK_{owner.upper()}_{field.upper()}"} & given, field


@pytest.mark.parametrize("name", [name for name in OURS if name in (*SERVICES, "redirect")])
def test_the_health_check_asks_the_port_that_the_service_listens_on(name: str) -> None:
    service = COMPOSE["services"][name]
    listen = "SOUK_REDIRECT_LISTEN" if name == "redirect" else f"SOUK_{name.upper()}_LISTEN"

    port = service["environment"][listen].rpartition(":")[2]

    assert f"http://127.0.0.1:{port}/health/ready" in service["healthcheck"]["test"][-1]


def test_the_gateway_reaches_every_service_at_its_port() -> None:
    configuration = json.loads((ROOT / "deploy/gateway/envoy.json").read_text())

    for cluster in configuration["static_resources"]["clusters"]:
        endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        socket = endpoint["address"]["socket_address"]
        assert socket["address"] == cluster["name"]
        assert cluster["name"] in COMPOSE["services"]
        assert socket["port_value"] == 8000


def test_the_gateways_configuration_is_the_generated_one() -> None:
    made = subprocess.run(
        [sys.executable, "-m", gateway.__name__], capture_output=True, text=True, check=True
    ).stdout

    assert made == (ROOT / "deploy/gateway/envoy.json").read_text(), (
        "stale: python -m souk.local.gateway > deploy/gateway/envoy.json"
    )


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_containers_are_hardened_and_limited(name: str) -> None:
    service = COMPOSE["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert {"mem_limit", "cpus", "pids_limit"} <= service.keys()
    if name in OURS:
        assert "USER 10001:10001" in (ROOT / "deploy/docker/Dockerfile").read_text()
    else:
        assert not service["user"].startswith("0")


def test_every_secret_is_made_by_the_script() -> None:
    asked = set(re.findall(r"\$\{(\w*(?:PASSWORD|SECRET))\b", (ROOT / "docker-compose.yml").read_text()))

    script = (ROOT / "deploy/docker/secrets.sh").read_text()
    names = {
        f"SOUK_{service.upper()}_{kind}"
        for service in SERVICES
        for kind in ("DATABASE_PASSWORD", "KAFKA_PASSWORD")
    }
    names |= {f"SOUK_{name}_KAFKA_PASSWORD" for name in re.search(r"in (ADMIN[\w ]*)", script)[1].split()}
    names |= set(re.search(r"in (POSTGRES_PASSWORD[\w ]*)", script)[1].split())
    assert asked == names


@pytest.mark.parametrize(
    "file", ["deploy/docker/kafka.sh", "deploy/docker/postgres.sh", "deploy/docker/secrets.sh"]
)
def test_scripts_parse(file: str) -> None:
    shell = "bash" if "bash" in (ROOT / file).read_text().splitlines()[0] else "sh"

    subprocess.run([shell, "-n", ROOT / file], check=True)
