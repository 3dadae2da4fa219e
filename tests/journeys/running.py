"""One suite for all journeys: everything runs, the clock is moved by hand, and people call the gateway."""

import asyncio
import csv
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from collector import Collector, collecting

from souk.chassis.clock import ManualClock, set_manual
from souk.contracts.permissions import Role
from souk.contracts.topic import SERVICES, Service
from souk.local import clock, control, suite, tokens
from souk.local.demo.api import Api
from souk.local.folder import Folder, free_port, remembered_ports
from souk.local.process import printed
from souk.local.stack import Stack, of_folder
from souk.local.standins.catalogue import COLUMNS, channel_id

OPENING = datetime(2017, 9, 26, 6, tzinfo=UTC)
POSTED = ("28.09", "29.09")
"""The days at whose noons each channel published a video; it has the hashtags alpha, beta and gamma."""
CHANNELS = tuple(f"Maker {number}" for number in range(1, 13))
_COMMAND_SECONDS = 60
_COMMANDING = Path(__file__).with_name("commanding.py")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Suite:
    folder: Folder
    client: httpx.AsyncClient
    collector: Collector

    @property
    def now(self) -> datetime:
        return ManualClock(self.folder.clock).now()

    @property
    def stack(self) -> Stack:
        return of_folder(self.folder)

    def token(self, role: Role, **ids: UUID) -> str:
        return tokens.token(self.folder, role, **ids)

    def api(self, role: Role, **ids: UUID) -> Api:
        """The API as someone of `role`; ids: user, organisation or influencer."""
        signed = self.token(role, **ids)
        return Api(self.client, lambda: signed, str(uuid4()))

    async def send(self, method: str, path: str, token: str | None = None, **request: Any) -> httpx.Response:
        """One request as it is, whatever the answer."""
        headers = {"authorization": f"Bearer {token}"} if token is not None else {}
        return await self.client.request(
            method, path, headers={**headers, **request.pop("headers", {})}, **request
        )

    async def advance(self, to: datetime) -> None:
        await clock.advance(self.folder.clock, suite.pulses(self.folder), to)

    async def settle(self) -> None:
        await clock.settle(suite.pulses(self.folder))

    def address(self, process: str) -> str:
        """The base URL of a process's own port."""
        return f"http://127.0.0.1:{remembered_ports(self.folder)[process]}"

    async def command(self, service: str, *arguments: str) -> list[Json]:
        """What `souk run <service> …` prints."""
        data = {"SOUK_DATA": str(self.folder.root)}
        souk = Path(sys.executable).parent / "souk"
        return await printed([souk, "run", service, *arguments], data, _COMMAND_SECONDS)

    async def commands(self, service: Service, *lines: str) -> list[tuple[int, list[Json]]]:
        """The exit code of each of `souk-<service> <line>`, done in this order, and what it prints."""
        environment = suite.service_environment(self.folder, service, remembered_ports(self.folder))
        ended: list[tuple[int, list[Json]]] = []
        so_far: list[Json] = []
        command = [sys.executable, _COMMANDING, service, *lines]
        for each in await printed(command, environment, _COMMAND_SECONDS):
            if each.keys() == {"exit"}:
                ended.append((each["exit"], so_far))
                so_far = []
            else:
                so_far.append(each)
        return ended

    async def execute(self, service: Service, statement: str) -> str:
        """What PostgreSQL says that a statement did to the service's database, as `DELETE 7`."""
        connection = await asyncpg.connect(self.stack.postgres.url(service), timeout=10)
        try:
            done: str = await connection.execute(statement)
        finally:
            await connection.close()
        return done

    @asynccontextmanager
    async def unchanged(self, *but: str) -> AsyncIterator[None]:
        """Whatever happens inside leaves every row of every database as it was, but for the tables named
        in `but`. The suite must be at rest before."""
        before = await self._contents()
        yield
        after = await self._contents()
        changed = {table for table in before | after if before.get(table) != after.get(table)}
        assert changed <= set(but), f"changed: {sorted(changed)}"

    async def _contents(self) -> Mapping[str, tuple[int, int]]:
        """How many rows each table has, and a digest of them, by `service.table`."""
        parts = await asyncio.gather(*map(self._contents_of, SERVICES))
        return {table: digest for part in parts for table, digest in part.items()}

    async def _contents_of(self, service: str) -> Mapping[str, tuple[int, int]]:
        connection = await asyncpg.connect(self.stack.postgres.url(service), timeout=10)
        try:
            tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            digests = " UNION ALL ".join(
                f"SELECT '{table}', count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) "
                f'FROM "{table}" t'
                for (table,) in tables
            )
            rows = await connection.fetch(digests)
        finally:
            await connection.close()
        return {f"{service}.{table}": (count, digest) for table, count, digest in rows}

    async def organisation(self, kind: str, **fields: Any) -> UUID:
        body = {"kind": kind, "name": f"{kind} {uuid4().hex[:6]}", "country": "US", **fields}
        return UUID((await self.api("staff").post("/v1/organisations", body))["id"])

    async def creators(self, *channels: str, **fields: Any) -> list[UUID]:
        """Influencers who signed up by staff, each with one of CHANNELS as connected account."""
        staff = self.api("staff")
        people = {channel: uuid4() for channel in channels}
        profiles = [
            {
                "id": str(person),
                "display_name": channel,
                "country": "US",
                "contact": {"email": f"{person}@creators.example"},
                "payee": {"country": "US", "payment_mode": "automatic", "legal_name": f"Legal {channel}"},
                **fields,
            }
            for channel, person in people.items()
        ]
        await staff.post("/v1/influencers/import", {"items": profiles})
        await self.settle()
        accounts = [
            {"influencer_id": str(person), "external_id": channel_id(channel)}
            for channel, person in people.items()
        ]
        done = await staff.post("/v1/accounts/import", {"items": accounts})
        assert done["refused"] == []
        await self.settle()
        return list(people.values())


_TERMS: dict[str, Json] = {
    "social": {
        "hashtags": ["alpha", "beta", "gamma"],
        "audience": {"platforms": ["youtube"]},
        "rates": {"posting": "50"},
    },
    "url": {"landing_url": "https://shop.example/landing", "rates": {"click": "0.05", "conversion": "1.5"}},
    "referral": {"rates": {"conversion": "3.25"}},
    "ecommerce": {"rates": {"commission": "8"}},
}


def brief(kind: str, **terms: Any) -> Json:
    """A brief that lacks nothing; in January 2018 unless `terms` say otherwise."""
    return {
        "type": kind,
        "title": f"A {kind} campaign",
        "country": "US",
        "time_zone": "America/New_York",
        "start_date": "2018-01-10",
        "end_date": "2018-01-20",
        "currency": "USD",
        "budget": "1000",
        "approval_mode": "auto",
        "product_url": "https://shop.example/product",
        **_TERMS[kind],
        **terms,
    }


@asynccontextmanager
async def running() -> AsyncIterator[Suite]:
    """The suite, ready, in a folder of its own, its clock at OPENING; everything is gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="souk-journeys-", ignore_cleanup_errors=True) as root,
        collecting() as collector,
    ):
        folder = Folder(Path(root) / "data")
        folder.root.mkdir()
        set_manual(folder.clock, OPENING)
        videos = _videos(Path(root) / "videos.csv")
        with control.Supervised(folder) as started:
            started.launch(
                servers_only=False,
                lifeline=True,
                environment={
                    "SOUK_GATEWAY_PORT": str(free_port(set())),
                    "SOUK_STANDINS_DATA": str(videos),
                    "SOUK_OTLP": collector.url,
                },
            )
            try:
                await asyncio.to_thread(control.wait_ready, folder)
                gateway = f"http://127.0.0.1:{remembered_ports(folder)['gateway']}"
                async with httpx.AsyncClient(base_url=gateway, timeout=30, trust_env=False) as client:
                    yield Suite(folder, client, collector)
            finally:
                await asyncio.to_thread(started.stop)


def _videos(path: Path) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for number, channel in enumerate(CHANNELS):
            for day in POSTED:
                writer.writerow(
                    {
                        "video_id": f"video-{number}-{day}",
                        "title": f"{channel} on {day}",
                        "channel_title": channel,
                        "category_id": 23,
                        "tags": "Alpha|beta|gamma",
                        "views": 1_000,
                        "likes": 10,
                        "comment_total": 2,
                        "date": day,
                    }
                )
    return path
