"""A small suite on which a fault of the rig lasts until its signal was seen, in place of a time by seed."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4, uuid5

import httpx
import videos
from cluster import Cluster, cluster
from disturbances import FAULTS
from history import History
from market import NAMES, Market
from mutants import Aim
from scene import Scene
from signals import Condition, Samples, scrape

from souk.local import clock, tokens
from souk.local.demo.api import Api

MAKERS = 60
"""Enough for the breaker, and for more lost mails than are borne."""
ASKED = 30
"""More at once than a process has connections to its database."""
_SEED = 1
_PATIENCE = 240.0
_SCRAPE_SECONDS = 10.0
"""After which a scrape has failed: Prometheus's own default."""
_ANSWER_SECONDS = 8.0
"""Longer than a request waits for a connection to the database."""
_LOOK_SECONDS = 0.1


class Most(random.Random):
    """Where a fault may choose, the `pick`th of several and the most that it may."""

    def __init__(self, pick: int) -> None:
        # By this seed a worker goes once, and no mail is refused for good.
        super().__init__(0)
        self.pick = pick

    def choice(self, several: Any) -> Any:
        return several[self.pick]

    def randint(self, _: int, most: int) -> int:
        return most

    def uniform(self, _: float, most: float) -> float:
        return most


@dataclass(slots=True)
class Lasting(Scene):
    """Where a fault that has begun lasts until it is over, not for a time by seed."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def a_while(self) -> None:
        self.begun.set()
        await self.over.wait()


@dataclass(frozen=True, slots=True)
class Rig:
    """A suite with people in it, who are told of campaigns by mail and push. people: their ids."""

    suite: Cluster
    market: Market
    api: Api
    scraper: httpx.AsyncClient
    client: httpx.AsyncClient
    people: Sequence[str]
    numbers: Iterator[int]

    def scene(self, fault: str, pick: int, **aim: Any) -> Lasting:
        return Lasting(
            self.suite, self.market, Most(pick), 1.0, lambda _: None, set(), Aim(**aim), fault=fault
        )

    @asynccontextmanager
    async def fault(self, name: str, *, pick: int = 0, **aim: Any) -> AsyncIterator[None]:
        """A fault of the rig has begun before the block, and ends after it unless it has ended by itself."""
        scene = self.scene(name, pick, **aim)
        async with asyncio.TaskGroup() as group:
            going = group.create_task(FAULTS[name](scene))
            begun = group.create_task(scene.begun.wait())
            await asyncio.wait({going, begun}, return_when=asyncio.FIRST_COMPLETED)
            begun.cancel()
            try:
                yield
            finally:
                scene.over.set()

    async def scrape(self) -> Samples:
        addresses = {name: self.suite.address(name) for name in self.suite.service_processes}
        return await scrape(self.scraper, addresses)

    async def until(
        self, moved: Callable[[Samples], bool], *, meanwhile: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """Scrape until the signal has moved. meanwhile: what is done between two scrapes."""
        deadline = time.monotonic() + _PATIENCE
        while not moved(await self.scrape()):
            assert time.monotonic() < deadline, "the signal did not move"
            await (meanwhile() if meanwhile else asyncio.sleep(_LOOK_SECONDS))

    async def eventually(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not await is_so():
            assert time.monotonic() < deadline

    async def shows(self, gauge: Condition, **labels: str) -> None:
        """What the alert's expression says."""
        await self.until(lambda now: gauge.holds(gauge.highest(now, **labels)))

    async def falls(self, gauge: Condition) -> None:
        """To nothing, in every process."""
        await self.until(lambda now: gauge.highest(now) == 0)

    async def rest(self) -> None:
        await clock.settle(self.suite.pulses)

    async def sign_up(self, number: int) -> None:
        """So many newcomers, who have no address and so are told of nothing outside."""
        payee = {"country": "US", "payment_mode": "automatic"}
        items = [
            {
                "id": str(person := uuid4()),
                "display_name": f"Newcomer {person}",
                "country": "US",
                "payee": payee,
            }
            for _ in range(number)
        ]
        await self.api.post("/v1/influencers/import", {"items": items})

    async def organisation(self) -> None:
        body = {"id": str(uuid4()), "kind": "advertiser", "name": "Brand", "country": "US"}
        await self.api.post("/v1/organisations", body)

    async def campaign(self) -> str:
        """One that all have joined and that starts tomorrow; a link of it, without the host."""
        start = (self.market.now + timedelta(days=1)).date()
        made = await self.api.post(
            "/v1/campaigns",
            {
                "advertiser_id": str(uuid5(NAMES, f"{_SEED}:advertiser")),
                "type": "url",
                "title": f"Campaign {next(self.numbers)}",
                "country": "US",
                "time_zone": "America/New_York",
                "start_date": str(start),
                "end_date": str(start + timedelta(days=30)),
                "currency": "USD",
                "budget": "5000",
                "approval_mode": "auto",
                "multi_posting": True,
                "audience": {},
                "landing_url": "https://shop.example/landing",
                "rates": {"click": "0.35"},
                "cap": "5000",
                "hold_days": 0,
            },
        )
        await self.rest()
        shop = {"campaign_id": made["id"], "kind": "shopify", "domain": "a.test", "secret": uuid4().hex}
        await self.api.post("/v1/shops", shop)
        await self.api.post(f"/v1/campaigns/{made['id']}/approve")
        await self.rest()
        joining = {"campaign_id": made["id"], "influencer_ids": list(self.people)}
        await self.api.post("/v1/participations/import", joining)
        await self.rest()
        found = await self.api.get("/v1/links", campaign_id=made["id"], limit=1)
        return urlsplit(str(found["items"][0]["url"])).path

    async def click(self, link: str) -> int:
        """The status of the answer."""
        agent = {"user-agent": f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:56.0) v/{uuid4()}"}
        answer = await self.client.get(f"{self.suite.address('tracking-redirect')}{link}", headers=agent)
        return answer.status_code

    async def ask_billing(self) -> None:
        """Many at once, whatever is answered."""
        payments = f"{self.suite.address('billing-api')}/v1/payments"
        await asyncio.gather(*(self.client.get(payments) for _ in range(ASKED)), return_exceptions=True)


@asynccontextmanager
async def rehearsal(root: Path) -> AsyncIterator[Rig]:
    """The suite runs in the empty folder `root` while the block does: one broker, one worker a service."""
    makers = videos.channels(MAKERS)
    data = videos.write(root / "videos.csv", MAKERS, random.Random(_SEED))
    async with cluster(root / "data", brokers=1, workers=1, data=data) as suite, AsyncExitStack() as opened:
        token = tokens.token(suite.folder, "staff")

        async def connect(url: str, seconds: float) -> httpx.AsyncClient:
            signed = {"authorization": f"Bearer {token}"}
            client = httpx.AsyncClient(base_url=url, timeout=seconds, headers=signed, trust_env=False)
            return await opened.enter_async_context(client)

        market = Market(suite.gateway, suite.folder, makers, _SEED, History(), standins=suite.standins)
        opened.push_async_callback(market.close)
        await market.open(lambda: clock.settle(suite.pulses))
        yield Rig(
            suite,
            market,
            Api(await connect(suite.gateway, 30), lambda: token, str(uuid4())),
            await connect("", _SCRAPE_SECONDS),
            await connect("", _ANSWER_SECONDS),
            [str(uuid5(NAMES, f"{_SEED}:{maker}")) for maker in makers],
            count(1),
        )
