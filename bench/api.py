"""Authenticated GET and POST through Envoy, beside a bare FastAPI route through the same Envoy.

The bare application takes and returns the same bodies through the same kind of models and is served by the
same server; it checks no token, opens no unit of work and stores nothing. Envoy checks the token for both.
The gateway's bound on the rate is lifted, for it would be what is measured.
"""

import json
import random
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import load
from fastapi import FastAPI
from harness import Child, Memory, Result, Size, alternate, in_child, percentile, until
from place import services
from pydantic import BaseModel, ConfigDict

from souk.chassis.server import serve
from souk.local import envoy, gateway, probes, suite, tokens
from souk.local.folder import Folder, remembered_ports, write_private
from souk.local.process import Spec

_CONNECTIONS = 32
_ALMOST_NO_BOUND = 1_000_000
_BODY = '{"kind":"advertiser","name":"Brand {n}","country":"US"}'


async def measure(size: Size) -> list[Result]:
    async with services("campaign", more=lambda folder: [_gateway(folder)]) as place:
        chosen = remembered_ports(place.folder)
        async with Child(_bare, chosen["influencer"]):
            await until(lambda: probes.http_serves(chosen["influencer"], "/ready"), every=0.02)
            authorised = {"authorization": f"Bearer {tokens.token(place.folder, 'staff')}"}
            made = await _make(chosen["gateway"], authorised)
            with Memory() as memory:
                memory.watch("campaign", place.pid("campaign"))
                memory.watch("gateway", place.pid("gateway"))
                results = []
                for method, floor in (("GET", 0.4), ("POST", 0.2)):
                    results.append(await _method(size, method, floor, chosen["gateway"], made, authorised))
            return [replace(result, memory=memory.peaks) for result in results]


async def _method(
    size: Size, method: str, floor: float, port: int, made: str, authorised: dict[str, str]
) -> Result:
    seconds = float(size.of(full=5, quick=1))
    taken: dict[str, list[float]] = {"organisations": [], "influencers": []}
    begun = 0

    async def asked(resource: str) -> float:
        nonlocal begun
        if method == "GET":
            sent, status = load.request("GET", f"/v1/{resource}/{made}", authorised), 200
        else:
            key = {"idempotency-key": f"{random.getrandbits(64):x}-{{n}}"}
            sent, status = load.request("POST", f"/v1/{resource}", authorised | key, _BODY), 201
        plan = load.Plan(port, [sent], seconds, connections=_CONNECTIONS, first=begun)
        found: load.Load = await in_child(load.run, plan)
        begun += found.expect(status).answered
        taken[resource] += found.taken
        return found.rate

    figures, limits = await alternate(
        size.rounds, lambda: asked("organisations"), lambda: asked("influencers")
    )
    also = {
        f"{of}p{share:.0%}".rstrip("%") + " ms": percentile(taken[resource], share) * 1000
        for of, resource in (("", "organisations"), ("bare ", "influencers"))
        for share in (0.5, 0.99)
    }
    return Result(
        workload=f"api {method}",
        unit="requests/s",
        figures=figures,
        limits=limits,
        floor=floor,
        also={"connections": _CONNECTIONS, **also},
        note="processor time of service, Envoy and PostgreSQL together: docs/decisions/0012",
    )


def _gateway(folder: Folder) -> Spec:
    """The suite's, but for the rate; what the influencer service has elsewhere is the bare application."""
    chosen = suite.suite_ports(folder)
    configuration = gateway.configuration(
        gateway.Upstreams(
            listen=("127.0.0.1", chosen["gateway"]),
            admin=("127.0.0.1", chosen["gateway-admin"]),
            services={service: ("127.0.0.1", chosen[service]) for service in gateway.RESOURCES},
            redirect=("127.0.0.1", chosen[suite.REDIRECT]),
            issuer=tokens.ISSUER,
            jwks=str(folder.jwks),
            rate=_ALMOST_NO_BOUND,
            burst=_ALMOST_NO_BOUND,
        )
    )
    path = folder.root / "envoy.json"
    write_private(path, json.dumps(configuration))
    return envoy.spec(path, chosen["gateway-admin"])


async def _make(port: int, authorised: dict[str, str]) -> str:
    """An organisation to be read; its id."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        answer = await client.post(
            "/v1/organisations",
            content=_BODY,
            headers=authorised | {"idempotency-key": "the first", "content-type": "application/json"},
        )
    answer.raise_for_status()
    found: str = answer.json()["id"]
    return found


class _New(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: UUID | None = None
    kind: str
    name: str
    country: str
    agency_id: UUID | None = None


class _Out(BaseModel):
    id: UUID
    version: int
    created_at: datetime
    changed_at: datetime
    kind: str
    name: str
    country: str
    agency_id: UUID | None
    active: bool


async def _bare(port: int) -> None:
    app = FastAPI()
    now = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    fixed: dict[str, Any] = {"version": 1, "created_at": now, "changed_at": now, "active": True}

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        return {}

    @app.get("/v1/influencers/{one}")
    async def read(one: UUID) -> _Out:
        return _Out(id=one, kind="advertiser", name="Brand", country="US", agency_id=None, **fixed)

    @app.post("/v1/influencers", status_code=201)
    async def create(new: _New) -> _Out:
        return _Out(**(new.model_dump() | {"id": new.id or UUID(int=1, version=4)}), **fixed)

    await serve(app, f"127.0.0.1:{port}")
