"""The influencer service, served in this process on a database of its own, and callers of every role."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select, text

from souk.chassis import envelope
from souk.chassis.clock import ManualClock, SystemClock, set_manual
from souk.chassis.database import open_engine
from souk.chassis.http import application
from souk.chassis.jwks import TokenVerifier
from souk.chassis.migrations import migrate
from souk.chassis.server import served
from souk.chassis.tables import outbox, timer
from souk.chassis.timers import Job, Timer
from souk.chassis.work import Units
from souk.contracts.permissions import Role
from souk.contracts.state import State
from souk.contracts.topics import topic_named
from souk.contracts.topics.accounts import Account
from souk.contracts.topics.budgets import Budget
from souk.contracts.topics.campaigns import Audience, Campaign
from souk.contracts.topics.organisations import Organisation
from souk.influencer import subscriptions
from souk.influencer.main import SERVICE, build
from souk.influencer.settings import InfluencerSettings
from souk.influencer.timers import timers
from souk.local.folder import Folder
from souk.local.testing import MakeDatabase, empty
from souk.local.tokens import AUDIENCE, ISSUER, token

START = datetime(2017, 9, 14, tzinfo=UTC)
JOINING = datetime(2017, 9, 18, 12, tzinfo=UTC)
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

    async def put(self, path: str, body: object, version: int | None = None) -> httpx.Response:
        return await self.send("PUT", path, {"If-Match": _tag(version)}, json=body)

    async def patch(self, path: str, body: object, version: int | None = None) -> httpx.Response:
        """version: of the If-Match; without one whatever is there is changed."""
        return await self.send("PATCH", path, {"If-Match": _tag(version)}, json=body)

    async def delete(self, path: str) -> httpx.Response:
        return await self.send("DELETE", path)

    async def send(
        self, method: str, path: str, headers: Mapping[str, str] = MappingProxyType({}), **content: Any
    ) -> httpx.Response:
        authorised = {"Authorization": f"Bearer {self.bearer}", **headers}
        return await self.client.request(method, path, headers=authorised, **content)


def _tag(version: int | None) -> str:
    return "*" if version is None else f'"{version}"'


def a_campaign(**fields: Any) -> Campaign:
    """Approved on 14 September 2017, from 20 September to 15 October in New York; a url campaign."""
    audience = fields.pop("audience", {})
    terms: dict[str, Any] = {
        "id": uuid4(),
        "version": 1,
        "changed_at": START,
        "advertiser_id": uuid4(),
        "type": "url",
        "lifecycle": "approved",
        "title": "Autumn",
        "created_at": START,
        "approved_at": START,
        "start_date": date(2017, 9, 20),
        "end_date": date(2017, 10, 15),
        "opens_at": START,
        "starts_at": datetime(2017, 9, 20, 4, tzinfo=UTC),
        "ends_at": datetime(2017, 10, 16, 4, tzinfo=UTC),
        "approval_mode": "auto",
        "currency": "USD",
        "cap": 40_000_000,
        "budget": 1_000_000_000,
        "budget_version": 1,
    }
    return Campaign(**terms | fields, audience=Audience(**audience))


def an_account(influencer: UUID, **fields: Any) -> Account:
    terms: dict[str, Any] = {
        "id": uuid4(),
        "version": 1,
        "changed_at": START,
        "influencer_id": influencer,
        "platform": "youtube",
        "external_id": uuid4().hex,
        "handle": "a handle",
        "followers": 1_000,
        "connection": "connected",
    }
    return Account(**terms | fields)


def a_budget(campaign: Campaign, **fields: Any) -> Budget:
    terms: dict[str, Any] = {
        "id": campaign.id,
        "version": 1,
        "changed_at": START,
        "campaign_id": campaign.id,
        "currency": "USD",
        "budget": campaign.budget,
        "budget_version": campaign.budget_version,
        "consumed": 0,
        "status": "open",
    }
    return Budget(**terms | fields)


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
    def staff(self) -> Caller:
        return self.caller("staff", STAFF)

    campaign = staticmethod(a_campaign)
    account = staticmethod(an_account)
    budget = staticmethod(a_budget)

    def now(self, instant: datetime) -> None:
        set_manual(self.clock, instant)

    async def influencer(self, **fields: Any) -> UUID:
        """Someone new; without fields there is a name alone."""
        body = {"id": str(uuid4()), "display_name": f"Creator {next(self.serial)}"} | fields
        made = await self.staff.post("/v1/influencers", body)
        assert made.status_code == 201, made.text
        return UUID(made.json()["id"])

    async def influencers(self, number: int) -> list[UUID]:
        items = [{"id": str(uuid4()), "display_name": f"Creator {next(self.serial)}"} for _ in range(number)]
        made = await self.staff.post("/v1/influencers/import", {"items": items})
        assert made.status_code == 201, made.text
        return [UUID(item["id"]) for item in items]

    async def reads(self, *states: State) -> None:
        """As the intake hands them over, each kind in a unit of its own."""
        for one in states:
            async with self.units.begin() as work:
                match one:
                    case Campaign():
                        await subscriptions.campaigns_changed(work, [one])
                    case Account():
                        await subscriptions.accounts_changed(work, [one])
                    case Budget():
                        await subscriptions.budgets_changed(work, [one])
                    case Organisation():
                        await subscriptions.organisations_changed(work, [one])
                    case _:
                        raise TypeError(type(one))

    async def runs(self, kind: str, subject: object) -> bool:
        """Run the job of that timer as the worker would, when it is set; whether it was."""
        async with self.units.begin(read_only=True) as work:
            row = await work.fetch_one(
                select(timer).where(timer.c.kind == kind, timer.c.subject == str(subject))
            )
        if row is None:
            return False
        due = Timer(row.kind, row.subject, row.due_at, row.data, row.attempts)

        async def nothing_to_wait_for(*_: Any) -> None:
            return None

        await timers.jobs[kind](Job(self.units, due, nothing_to_wait_for))
        return True

    async def due(self) -> dict[tuple[str, str], datetime]:
        async with self.units.begin(read_only=True) as work:
            return {(row.kind, row.subject): row.due_at for row in await work.fetch_all(select(timer))}

    async def published(self, event: str = "") -> Sequence[State]:
        """States waiting in the outbox, in order; those of events that begin with `event`."""
        async with self.units.begin(read_only=True) as work:
            rows = await work.fetch_all(select(outbox).order_by(outbox.c.id))
        return [
            topic_named(row.topic).parse(row.payload)
            for row in rows
            if dict(envelope.unpack(row.headers))["ce_type"].decode().startswith(event)
        ]

    async def rows(self, sql: str, **parameters: Any) -> Sequence[Any]:
        async with self.units.begin(read_only=True) as work:
            return await work.fetch_all(text(sql), parameters)


@pytest.fixture(scope="session")
async def shared_units(make_database: MakeDatabase) -> AsyncIterator[Units]:
    made = make_database("influencer")
    await migrate(made.url, SERVICE.migrations_folder())
    engine = open_engine(made.url, "test", pool=8)
    yield Units(engine, SystemClock(), "influencer")
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
    parts = build(InfluencerSettings(kafka="unused", database="postgresql://unused"))
    app = application(
        "influencer",
        routers=parts.routers,
        units=shared_units,
        verifier=TokenVerifier(str(folder.jwks), ISSUER, AUDIENCE),
        permissions_of=parts.permissions_of,
    )
    async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=15) as client:
        yield client, folder


@pytest.fixture
def suite(units: Units, served_at: tuple[httpx.AsyncClient, Folder], tmp_path: Path) -> Suite:
    client, folder = served_at
    return Suite(client, units, folder, tmp_path / "clock")
