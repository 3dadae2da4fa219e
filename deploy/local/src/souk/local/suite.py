"""The five services on the embedded stack: environment, migrations, processes, gateway."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from souk.contracts.topic import SERVICES, Service
from souk.local import envoy, gateway, probes, servers, tokens
from souk.local.folder import Folder, passwords, ports, remembered_ports, write_private
from souk.local.process import Spec
from souk.local.stack import SECRETS, of_folder

DEFAULT_GATEWAY_PORT = 8080
REDIRECT = "tracking-redirect"
STANDINS = "standins"
STANDINS_SMTP = "standins-smtp"
_MAIL_USER = "souk"


def suite_ports(folder: Folder) -> Mapping[str, int]:
    """Ports of the services' APIs, the redirect, the stand-ins and the gateway (8080 unless set or taken)."""
    fixed: dict[str, str | None] = {
        "gateway": "SOUK_GATEWAY_PORT",
        "gateway-admin": None,
        REDIRECT: "SOUK_REDIRECT_PORT",
        STANDINS: "SOUK_STANDINS_HTTP",
        STANDINS_SMTP: "SOUK_STANDINS_SMTP",
        **dict.fromkeys(SERVICES),
    }
    return ports(folder, fixed, preferred={"gateway": DEFAULT_GATEWAY_PORT})


def pulses(folder: Folder) -> dict[str, str]:
    """The `/internal/pulse` URL of every process that has work of its own; for `souk.local.clock`."""
    known = remembered_ports(folder)
    return {name: f"http://127.0.0.1:{known[name]}/internal/pulse" for name in (*SERVICES, REDIRECT)}


def specs(folder: Folder) -> tuple[Spec, ...]:
    """Everything above the servers, in dependence order, and the stand-ins of the outside."""
    chosen = suite_ports(folder)
    tokens.signing_key(folder)
    found = [standins_spec(folder, chosen, shared_environment(folder, chosen)["SOUK_CLOCK"])]
    for service in SERVICES:
        environment = service_environment(folder, service, chosen)
        after: tuple[str, ...] = ("topics",)
        if not _migrated(folder, service):
            found.append(migration_spec(folder, service, environment))
            after = ("topics", f"{service}-migrate")
        found.append(service_spec(service, (script(service), "all"), environment, chosen[service], after))
        if service == "tracking":
            redirect = (script(service), "redirect")
            found.append(service_spec(REDIRECT, redirect, environment, chosen[REDIRECT], after))
    return (topics_spec(folder, servers.names()), *found, gateway_spec(folder, chosen))


def service_environment(folder: Folder, service: Service, chosen: Mapping[str, int]) -> dict[str, str]:
    """All that one service is told; chosen: the ports of `suite_ports`."""
    return {
        **shared_environment(folder, chosen),
        **of_folder(folder).environment(service),
        f"SOUK_{service.upper()}_LISTEN": f"127.0.0.1:{chosen[service]}",
    }


def shared_environment(folder: Folder, chosen: Mapping[str, int]) -> dict[str, str]:
    """What every service is told alike. What the caller's environment says (an OIDC issuer, the address of an
    outside system, an OTLP endpoint) goes first."""
    secrets = passwords(folder, SECRETS)
    outside = f"http://127.0.0.1:{chosen[STANDINS]}"
    defaults = {
        "SOUK_OIDC_ISSUER": tokens.ISSUER,
        "SOUK_OIDC_AUDIENCE": tokens.AUDIENCE,
        "SOUK_OIDC_JWKS": str(folder.jwks),
        "SOUK_CLOCK": _clock(folder),
        "SOUK_PUBLIC_URL": f"http://127.0.0.1:{chosen['gateway']}",
        "SOUK_REDIRECT_LISTEN": f"127.0.0.1:{chosen[REDIRECT]}",
        "SOUK_TRACKING_SPOOL": str(folder.spool),
        "SOUK_TRACKING_SECRET": secrets["tracking"],
        "SOUK_UNSUBSCRIBE_SECRET": secrets["unsubscribe"],
        "SOUK_YOUTUBE_URL": outside,
        "SOUK_YOUTUBE_KEY": secrets["youtube"],
        "SOUK_SMTP": f"smtp://{_MAIL_USER}:{secrets['smtp']}@127.0.0.1:{chosen[STANDINS_SMTP]}",
        "SOUK_PUSH_ALLOWED": outside,
        # Any 32 bytes are a private key of P-256, but for one in four billion.
        "SOUK_PUSH_VAPID_KEY": secrets["vapid"],
    }
    return {name: os.environ.get(name) or value for name, value in defaults.items()}


def _clock(folder: Folder) -> str:
    return f"manual:{folder.clock}" if folder.clock.exists() else "system"


def standins_spec(folder: Folder, chosen: Mapping[str, int], clock: str) -> Spec:
    """The outside. Nothing waits for it: the services bear that it isn't there, as they must anyway."""
    secrets = passwords(folder, SECRETS)
    environment = {
        "SOUK_CLOCK": clock,
        "SOUK_STANDINS_HTTP": str(chosen[STANDINS]),
        "SOUK_STANDINS_SMTP": str(chosen[STANDINS_SMTP]),
        "SOUK_STANDINS_FOLDER": str(folder.standins),
        "SOUK_STANDINS_YOUTUBE_KEY": secrets["youtube"],
        "SOUK_STANDINS_SMTP_USER": _MAIL_USER,
        "SOUK_STANDINS_SMTP_PASSWORD": secrets["smtp"],
    }
    if data := os.environ.get("SOUK_STANDINS_DATA"):
        # A process of the suite works in the data folder.
        environment["SOUK_STANDINS_DATA"] = str(Path(data).absolute())
    return Spec(
        name=STANDINS,
        command=(sys.executable, "-m", "souk.local.standins"),
        environment=environment,
        ready=lambda: probes.http_serves(chosen[STANDINS], "/health/ready"),
    )


def script(service: Service) -> str:
    """The console script of a service."""
    return str(Path(sys.executable).parent / f"souk-{service}")


def topics_spec(folder: Folder, after: tuple[str, ...]) -> Spec:
    return Spec(
        name="topics",
        command=(sys.executable, "-m", "souk.local.provision", str(folder.root)),
        ready=None,
        after=after,
    )


def service_spec(
    name: str, command: tuple[str, ...], environment: Mapping[str, str], port: int, after: tuple[str, ...]
) -> Spec:
    """One process of a service; port: where `environment` has it listen."""
    return Spec(
        name=name,
        command=command,
        environment=environment,
        ready=lambda: probes.http_serves(port, "/health/ready"),
        after=after,
        stop_within=15,
    )


def gateway_spec(folder: Folder, chosen: Mapping[str, int]) -> Spec:
    """chosen: the ports of `suite_ports`; a service's is that of its API."""
    upstreams = gateway.Upstreams(
        listen=("127.0.0.1", chosen["gateway"]),
        admin=("127.0.0.1", chosen["gateway-admin"]),
        services={service: ("127.0.0.1", chosen[service]) for service in SERVICES},
        redirect=("127.0.0.1", chosen[REDIRECT]),
        issuer=os.environ.get("SOUK_OIDC_ISSUER") or tokens.ISSUER,
        audience=os.environ.get("SOUK_OIDC_AUDIENCE") or tokens.AUDIENCE,
        jwks=os.environ.get("SOUK_OIDC_JWKS") or str(folder.jwks),
    )
    path = folder.root / "envoy.json"
    write_private(path, json.dumps(gateway.configuration(upstreams)))
    return envoy.spec(path, chosen["gateway-admin"])


def migration_spec(folder: Folder, service: Service, environment: Mapping[str, str]) -> Spec:
    async def done() -> None:
        _marker(folder, service).write_text(_schema(service))

    return Spec(
        name=f"{service}-migrate",
        command=(script(service), "migrate"),
        environment=environment,
        ready=None,
        settle=done,
        after=("postgres",),
    )


def _migrated(folder: Folder, service: Service) -> bool:
    """Whether this folder's database has had every migration of the code at hand."""
    marker = _marker(folder, service)
    return marker.exists() and marker.read_text() == _schema(service)


def _marker(folder: Folder, service: Service) -> Path:
    return folder.root / f"migrated-{service}"


def _schema(service: Service) -> str:
    """A digest of the migrations' source, the chassis's included, found without importing them."""
    digest = hashlib.sha256()
    for package in (f"souk.{service}", "souk.chassis"):
        found = find_spec(package)
        for place in (found and found.submodule_search_locations) or ():
            for file in sorted(Path(place, "migrations").rglob("*.py")):
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
