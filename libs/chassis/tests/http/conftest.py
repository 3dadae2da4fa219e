"""A small service of things, with real keys, on a real database, behind a real socket."""

import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import Request, Response
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from pydantic import BaseModel, Field
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text, Uuid, insert, select, update

from souk.chassis.amount import Amount
from souk.chassis.auth import Principal, allowed
from souk.chassis.clock import SystemClock
from souk.chassis.database import open_engine
from souk.chassis.etag import IfMatchDep, set_etag
from souk.chassis.http import Routes, WorkDep, application
from souk.chassis.jwks import TokenVerifier
from souk.chassis.migrations import chassis_tables
from souk.chassis.ops import operations
from souk.chassis.paging import CursorDep, Page
from souk.chassis.problems import FieldError, Refused
from souk.chassis.server import served
from souk.chassis.work import Units, Work
from souk.contracts.money import Micros
from souk.contracts.permissions import Area, Level
from souk.contracts.reasons import Reason

ISSUER = "https://issuer.test"

thing = Table(
    "thing",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
)


class ThingIn(BaseModel):
    name: Annotated[str, Field(max_length=50)]
    amount: Amount = Micros(0)


class ThingOut(BaseModel):
    id: UUID
    name: str
    amount: Amount

    @classmethod
    def of(cls, row: Any) -> "ThingOut":
        return cls(id=row.id, name=row.name, amount=row.amount)


def thing_routes() -> list[Routes]:
    routes = Routes(prefix="/v1/things", tags=["things"])
    hooks = Routes(prefix="/hooks", tags=["hooks"], public=True)

    @routes.post("", status_code=201, idempotent=True)
    async def make_thing(
        given: ThingIn,
        work: WorkDep,
        who: Annotated[Principal, allowed("campaign", "manage")],
        response: Response,
    ) -> ThingOut:
        made = ThingOut(id=work.new_id(), name=given.name, amount=given.amount)
        await work.execute(insert(thing).values(id=made.id, name=made.name, amount=made.amount, version=1))
        if given.name == "slow":
            await work.connection.exec_driver_sql("SELECT pg_sleep(0.5)")
        if given.name == "taken":
            error = FieldError(pointer="/name", detail="in use")
            raise Refused(Reason.CONFLICT, "the name is taken", errors=[error], name=given.name)
        if given.name == "crash":
            raise RuntimeError("password=hunter2 of the inside")
        if given.name == "doomed":
            await work.connection.exec_driver_sql(
                "INSERT INTO pair SELECT * FROM (VALUES (gen_random_uuid(), gen_random_uuid())) x"
            )
        response.headers["Location"] = f"/v1/things/{made.id}"
        set_etag(response, 1)
        return made

    @routes.get("")
    async def list_things(work: WorkDep, cursor: CursorDep, name: str | None = None) -> Page[ThingOut]:
        query = select(thing) if name is None else select(thing).where(thing.c.name == name)
        rows = await work.fetch_all(cursor.over(query, thing.c.amount, thing.c.id))
        return cursor.page(rows, ThingOut.of, keys=lambda row: (row.amount, row.id))

    @routes.get("/write-while-reading")
    async def write_while_reading(work: WorkDep) -> None:
        await work.execute(insert(thing).values(id=uuid4(), name="x", amount=0, version=1))

    @routes.patch("/{thing_id}")
    async def rename_thing(thing_id: UUID, given: ThingIn, work: WorkDep, expected: IfMatchDep) -> ThingOut:
        row = await work.fetch_one(select(thing).where(thing.c.id == thing_id).with_for_update())
        if row is None:
            raise Refused(Reason.NOT_FOUND)
        expected.check(row.version)
        change = update(thing).where(thing.c.id == thing_id).values(name=given.name, version=row.version + 1)
        changed = await work.fetch_one(change.returning(thing))
        return ThingOut.of(changed)

    @hooks.post("/raw")
    async def raw(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    return [routes, hooks]


@dataclass
class Issuer:
    """Signs tokens; `jwks` is where its public keys are published."""

    jwks: Path
    keys: dict[str, RSAKey | ECKey] = field(default_factory=dict)

    def publish(self, *keys: RSAKey | ECKey) -> None:
        self.keys = {str(key.kid): key for key in keys}
        self.jwks.write_text(json.dumps({"keys": [key.as_dict(private=False) for key in keys]}))

    def token(self, key: Any = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        key = key or next(iter(self.keys.values()))
        body = {
            "iss": ISSUER,
            "aud": "souk",
            "exp": int(time.time()) + 60,
            "sub": str(UUID(int=1)),
            "role": "staff",
            "org": str(UUID(int=2)),
            **claims,
        }
        header = {"alg": "RS256", "kid": key.kid, **(header or {})}
        return jwt.encode(header, {k: v for k, v in body.items() if v is not None}, key, [header["alg"]])


@pytest.fixture(scope="session")
def rsa_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})


@pytest.fixture
def issuer(tmp_path: Path, rsa_key: RSAKey) -> Issuer:
    issuer = Issuer(tmp_path / "jwks.json")
    issuer.publish(rsa_key)
    return issuer


@pytest.fixture(scope="session")
async def things_database(make_database: Callable[[str], Any]) -> str:
    url: str = make_database("billing").url
    statements: list[str] = []

    class Collected:
        def execute(self, sqltext: str) -> None:
            statements.append(sqltext)

    chassis_tables.create(Collected())
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
        await connection.execute(
            "CREATE TABLE thing (id uuid PRIMARY KEY, name text NOT NULL,"
            " amount bigint NOT NULL, version int NOT NULL);"
            "CREATE TABLE pair (id uuid PRIMARY KEY,"
            " other uuid NOT NULL REFERENCES thing DEFERRABLE INITIALLY DEFERRED)"
        )
    finally:
        await connection.close()
    return url


@pytest.fixture
async def units(things_database: str) -> AsyncIterator[Units]:
    engine = open_engine(things_database, "chassis tests")
    async with engine.begin() as connection:
        await connection.exec_driver_sql("TRUNCATE thing, pair, idempotency_key")
    yield Units(engine, SystemClock(), "billing")
    await engine.dispose()


@dataclass
class Api:
    """The service of things under test, and a client that is staff unless told otherwise."""

    url: str
    units: Units
    issuer: Issuer
    client: httpx.AsyncClient
    levels: dict[Area, Level]

    async def post(self, body: Any, key: str | None = None, **headers: str) -> httpx.Response:
        named = {"Idempotency-Key": key} if key else {}
        return await self.client.post("/v1/things", json=body, headers={**named, **headers})

    async def names(self) -> list[str]:
        async with self.units.begin(read_only=True) as work:
            return [row.name for row in await work.fetch_all(select(thing.c.name).order_by(thing.c.name))]


@pytest.fixture
async def api(units: Units, issuer: Issuer) -> AsyncIterator[Api]:
    levels: dict[Area, Level] = {}

    async def permissions_of(work: Work, who: Principal) -> dict[Area, Level]:
        return levels

    async def not_ready() -> str | None:
        return "no partitions are assigned yet"

    async def pulse() -> dict[str, int]:
        return {"outbox": 0}

    app = application(
        "things",
        routers=[operations({"intake": not_ready}, pulse), *thing_routes()],
        units=units,
        verifier=TokenVerifier(str(issuer.jwks), ISSUER, "souk"),
        permissions_of=permissions_of,
    )
    async with (
        served(app) as url,
        httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {issuer.token()}"}) as client,
    ):
        yield Api(url, units, issuer, client, levels)
