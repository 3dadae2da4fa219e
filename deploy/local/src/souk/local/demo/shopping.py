"""What visitors and customers do: clicks on links, orders with codes, refunds; all by the seed."""

import asyncio
import hashlib
import hmac
import json
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid5

import httpx

from souk.local.demo import plan as p
from souk.local.errors import StackError
from souk.local.standins import shop

_BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:56.0) Gecko/20100101 Firefox/56.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_12_6) AppleWebKit/604.1.38 Version/11.0 Safari/604.1.38",
    "Mozilla/5.0 (Linux; Android 7.0; SM-G930V) AppleWebKit/537.36 Chrome/61.0.3163.98 Mobile Safari/537.36",
)
_BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
# Nothing here speaks TLS; a client would load all certification authorities for each visitor.
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_PATIENCE_SECONDS = 90.0
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Click:
    """visitor: an address of this machine's loopback network. key: names this click, also when sent again."""

    url: str
    visitor: str
    agent: str
    key: UUID


@dataclass(frozen=True, slots=True)
class Order:
    campaign: str
    content: dict[str, Any]


@dataclass
class Shops:
    """Three shops at the gateway: C posts back what its visitors bought, D and E send signed webhooks."""

    gateway: str
    secrets: Mapping[str, Mapping[str, str]]
    orders: list[Order] = field(default_factory=list)

    async def visit(
        self, waves: Sequence[Sequence[Click]], chance: random.Random, settle: Callable[[], Awaitable[None]]
    ) -> None:
        """Follow links as browsers do; some visitors buy, and C's shop says so.

        A link has one click a wave, and the suite settles between waves: so each click is a version of its
        link, and the ledger has the same postings whenever the month is played.
        """
        for clicks in waves:
            gate = asyncio.Semaphore(_AT_ONCE)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_follow(click, gate)) for click in clicks]
            await settle()
            for click, task in zip(clicks, tasks, strict=True):
                if click.agent != _BOT and chance.random() < 0.08:
                    await self._post_back(click, task.result())

    async def order(self, orders: Sequence[Order]) -> None:
        """Send orders; every fifth webhook comes twice, as webhooks do."""
        for number, each in enumerate(orders):
            for _ in range(2 if number % 5 == 0 else 1):
                await self._send(each.campaign, "orders/create", each.content)
        self.orders.extend(orders)

    async def refund_early(self) -> None:
        """In E: one piece of one order, and one order whole, before the payout."""
        partial, whole = self._of("E")[:2]
        at = datetime.fromisoformat(self.orders[-1].content["created_at"])
        lines = partial.content["line_items"]
        await self._send("E", "refunds/create", shop.refund(9_001, partial.content, at, {lines[0]["id"]: 1}))
        await self._send("E", "refunds/create", shop.refund(9_002, whole.content, at, _all(whole)))

    async def refund_late(self) -> None:
        """In E: one order whole, after its commission was paid."""
        order = self._of("E")[2]
        await self._send("E", "refunds/create", shop.refund(9_003, order.content, p.LATE_REFUND, _all(order)))

    def _of(self, campaign: str) -> list[Order]:
        """Orders that were credited to someone, oldest first."""
        return [
            order
            for order in self.orders
            if order.campaign == campaign and order.content["currency"] == p.CURRENCY and _inside(order)
        ]

    async def _post_back(self, click: Click, location: str) -> None:
        clicked = parse_qs(urlsplit(location).query)["souk_click"][0]
        secret = self.secrets["C"]
        body = json.dumps(
            {"order_id": f"C-{click.key}", "click_id": clicked, "amount": "20.00", "currency": p.CURRENCY}
        ).encode()
        digest = hmac.new(secret["secret"].encode(), body, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "x-souk-signature": f"sha256={digest}"}
        await _deliver(f"{self.gateway}/hooks/postback/{secret['id']}", body, headers)

    async def _send(self, campaign: str, topic: shop.Topic, content: Mapping[str, Any]) -> None:
        secret = self.secrets[campaign]
        webhook = shop.sign(
            topic,
            content,
            secret["secret"],
            str(uuid5(p.NAMESPACE, f"{topic}:{content['id']}")),
            f"{campaign.lower()}.example",
        )
        await _deliver(f"{self.gateway}/hooks/shopify/{secret['id']}", webhook.body, webhook.headers)


def clicks_of(
    links: Sequence[Mapping[str, Any]], instant: datetime, chance: random.Random
) -> list[list[Click]]:
    """A day's clicks in waves: each link has some visitors, a few of them bots, a few who click again."""
    by_link = [list(_clicks_on(link, place, instant, chance)) for place, link in enumerate(links)]
    return [[click for click in wave if click] for wave in zip_longest(*by_link)]


def _clicks_on(
    link: Mapping[str, Any], place: int, instant: datetime, chance: random.Random
) -> Iterator[Click]:
    for visitor in range(chance.randint(1, 3)):
        # Its own address for each visitor: 127/8 is all this machine.
        address = f"127.{10 + instant.day}.{place + 1}.{visitor + 1}"
        agent = _BOT if chance.random() < 0.1 else chance.choice(_BROWSERS)
        for again in range(2 if chance.random() < 0.15 else 1):
            key = uuid5(p.NAMESPACE, f"click:{instant}:{place}:{visitor}:{again}")
            yield Click(link["url"], address, agent, key)


def orders_of(codes: Mapping[str, Sequence[str]], instant: datetime, chance: random.Random) -> list[Order]:
    """A day's orders: most carry a creator's code, one an unknown one, one is in another currency."""
    found: list[Order] = []
    for campaign, held in sorted(codes.items()):
        wanted = [chance.choice(held) for _ in range(chance.randint(3, 8))] if held else []
        for place, code in enumerate([*wanted, "NOBODY"]):
            number = 100_000 * (1 + ord(campaign) - ord("A")) + instant.timetuple().tm_yday * 100 + place
            items = [
                shop.Item(
                    id=number * 10 + line,
                    price=Decimal(chance.randint(900, 9_900)) / 100,
                    quantity=chance.randint(1, 3),
                    discount=Decimal(chance.randint(0, 300)) / 100,
                )
                for line in range(chance.randint(1, 3))
            ]
            currency = "EUR" if place == 2 and chance.random() < 0.3 else p.CURRENCY
            found.append(Order(campaign, shop.order(number, instant, items, currency=currency, code=code)))
    return found


def _inside(order: Order) -> bool:
    known = {each["code"] for each in order.content["discount_codes"]} != {"NOBODY"}
    return known and p.START < order.content["created_at"][:10] <= p.END


def _all(order: Order) -> dict[int, int]:
    return {line["id"]: line["quantity"] for line in order.content["line_items"]}


async def _follow(click: Click, gate: asyncio.Semaphore) -> str:
    """Where the redirect leads. Sent again with the same key while no answer comes."""
    headers = {"user-agent": click.agent, "idempotency-key": str(click.key)}
    transport = httpx.AsyncHTTPTransport(local_address=click.visitor, verify=_NO_AUTHORITIES)
    async with gate, httpx.AsyncClient(transport=transport, timeout=15, trust_env=False) as browser:
        response = await _insist(lambda: browser.get(click.url, headers=headers))
    if response.status_code != httpx.codes.FOUND:
        raise StackError(f"{click.url} answered {response.status_code} instead of a redirect.")
    return response.headers["location"]


async def _deliver(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    async with httpx.AsyncClient(timeout=15, trust_env=False, verify=_NO_AUTHORITIES) as client:
        response = await _insist(lambda: client.post(url, content=body, headers=dict(headers)))
    if response.is_error:
        raise StackError(f"{url} refused a webhook with {response.status_code}: {response.text[:300]}")


async def _insist(request: Any) -> httpx.Response:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            response: httpx.Response = await request()
            if response.status_code < 500 or time.monotonic() > deadline:
                return response
        except httpx.TransportError as error:
            if time.monotonic() > deadline:
                raise StackError(
                    f"The gateway did not answer for 90 s: {error!r}. See `souk logs`."
                ) from error
        await asyncio.sleep(0.1)
