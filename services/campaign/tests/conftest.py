"""The campaign service, served in this process on a database of its own, and callers of every role."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select

from souk.campaign.main import SERVICE, build
from souk.campaign.settings import CampaignSettings
from souk.chassis import envelope
from souk.chassis.clock import ManualClock, SystemClock, set_manual
from souk.chassis.database import open_engine
from souk.chassis.http import application
from souk.chassis.jwks import TokenVerifier
from souk.chassis.migrations import migrate
from souk.chassis.server import served
from souk.chassis.tables import outbox
from souk.chassis.work import Units
from souk.contracts.permissions import Role
from souk.contracts.state import State
from souk.contracts.topics import topic_named
from souk.local.folder import Folder
from souk.local.testing import MakeDatabase, empty
from souk.local.tokens import AUDIENCE, ISSUER, token

START = datetime(2017, 9, 14, tzinfo=UTC)
STAFF = UUID("00000000-0000-7000-8000-00000000000a")


@dataclass(frozen=True, slots=True)
class Caller:
    """Someone with a token. `post` sends a fresh Idempotency-Key unless one is given."""

    client: httpx.AsyncClient
    bearer: str

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.send("GET", path, params=query)

    async def post(self, path: str, body: object = None, key: str | None = None) -> httpx.Response:
        return await self.send("POST", path, {"Idempotency-Key": key or uuid4().hex}, json=body)

    async def patch(self, path: str, body: object, version: int | None = None) -> httpx.Response:
        """version: of the If-Match; without one whatever is there is changed."""
        tag = "*" if version is None else f'"{version}"'
        return await self.send("PATCH", path, {"If-Match": tag}, json=body)

    async def send(
        self, method: str, path: str, headers: Mapping[str, str] = MappingProxyType({}), **content: Any
    ) -> httpx.Response:
        authorised = {"Authorization": f"Bearer {self.bearer}", **headers}
        return await self.client.request(method, path, headers=authorised, **content)


@dataclass(frozen=True, slots=True)
class Suite:
    """The running service and what tests do to it from outside."""

    client: httpx.AsyncClient
    units: Units
    folder: Folder
    clock: Path
    serial: Iterator[int] = field(default_factory=lambda: count(1))

    def caller(self, role: Role, organisation: UUID | None = None, user: UUID | None = None) -> Caller:
        if role == "influencer":
            return Caller(self.client, token(self.folder, role, influencer=user or uuid4()))
        bearer = token(self.folder, role, organisation=organisation or uuid4(), user=user)
        return Caller(self.client, bearer)

    @property
    def nobody(self) -> Caller:
        return Caller(self.client, "no.real.token")

    @property
    def staff(self) -> Caller:
        return self.caller("staff", STAFF)

    def now(self, instant: datetime) -> None:
        set_manual(self.clock, instant)

    async def organisation(self, kind: str, **fields: Any) -> UUID:
        body = {"kind": kind, "name": f"{kind} {next(self.serial)}", "country": "US"} | fields
        body = {name: str(value) if isinstance(value, UUID) else value for name, value in body.items()}
        made = await self.staff.post("/v1/organisations", body)
        assert made.status_code == 201, made.text
        return UUID(made.json()["id"])

    async def campaign(self, *, approved: bool = False, **fields: Any) -> dict[str, Any]:
        """A complete social campaign of a new advertiser; `fields` change it."""
        if "advertiser_id" not in fields:
            fields["advertiser_id"] = await self.organisation("advertiser")
        body = COMPLETE | fields | {"advertiser_id": str(fields["advertiser_id"])}
        made = await self.staff.post("/v1/campaigns", body)
        assert made.status_code == 201, made.text
        if approved:
            made = await self.staff.post(f"/v1/campaigns/{made.json()['id']}/approve")
            assert made.status_code == 200, made.text
        return made.json()

    async def published(self) -> Sequence[tuple[str, State]]:
        """Event and state of all that waits in the outbox, in order."""
        async with self.units.begin(read_only=True) as work:
            rows = await work.fetch_all(select(outbox).order_by(outbox.c.id))
        return [
            (
                dict(envelope.unpack(row.headers))["ce_type"].decode(),
                topic_named(row.topic).parse(row.payload),
            )
            for row in rows
        ]


COMPLETE: Mapping[str, Any] = {
    "type": "social",
    "title": "Autumn laughs",
    "country": "US",
    "time_zone": "America/New_York",
    "start_date": "2017-09-20",
    "end_date": "2017-10-15",
    "currency": "USD",
    "budget": "1000000",
    "audience": {"platforms": ["youtube"]},
    "hashtags": ["#Comedy", "funny", "hu mor"],
    "rates": {"posting": "50", "view": "0.0005"},
}


@pytest.fixture
def complete() -> Mapping[str, Any]:
    return COMPLETE


@pytest.fixture(scope="session")
async def shared_units(make_database: MakeDatabase) -> AsyncIterator[Units]:
    made = make_database("campaign")
    await migrate(made.url, SERVICE.migrations_folder())
    engine = open_engine(made.url, "test", pool=5)
    yield Units(engine, SystemClock(), "campaign")
    await engine.dispose()


@pytest.fixture
async def units(shared_units: Units, tmp_path: Path) -> Units:
    """On empty tables, at the start of the story."""
    set_manual(tmp_path / "clock", START)
    shared_units.clock = ManualClock(tmp_path / "clock")
    await empty(shared_units.engine)
    return shared_units


@pytest.fixture(scope="session")
async def served_at(
    shared_units: Units, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[httpx.AsyncClient, Folder]]:
    folder = Folder(tmp_path_factory.mktemp("keys"))
    token(folder, "staff")
    parts = build(CampaignSettings(kafka="unused", database="postgresql://unused"))
    app = application(
        "campaign",
        routers=parts.routers,
        units=shared_units,
        verifier=TokenVerifier(str(folder.jwks), ISSUER, AUDIENCE),
        permissions_of=parts.permissions_of,
    )
    async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=10) as client:
        yield client, folder


@pytest.fixture
def suite(units: Units, served_at: tuple[httpx.AsyncClient, Folder], tmp_path: Path) -> Suite:
    client, folder = served_at
    return Suite(client, units, folder, tmp_path / "clock")
