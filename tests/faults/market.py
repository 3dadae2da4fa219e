"""The load: brands, creators, visitors, shops and staff who never wait for the suite to be quiet.

What the market believes of the suite is what it was told; what it was not told stays open. Everyone is
driven by the seed; only the interleaving is the machine's.
"""

import asyncio
import json
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import count
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4, uuid5

import httpx
from history import History, Json, Told
from videos import HASHTAGS

from souk.chassis.clock import ManualClock, set_manual
from souk.contracts.topics.campaigns import CampaignType
from souk.local import tokens
from souk.local.folder import Folder
from souk.local.standins import shop
from souk.local.standins.catalogue import channel_id

NAMES = UUID("5f0a3a52-2b5d-5f43-9d3c-6b1f7f3d9e21")
_KINDS: tuple[CampaignType, ...] = ("social", "ecommerce", "url", "referral", "social", "url")
"""Of campaigns, in turn: a play on half a machine has few of them, and each kind has load of its own."""
_CODES = 3
_SWARM = 8
_ANSWER_SECONDS = 6.0
_TRIES = 5
_SEND_AGAIN = 0.75
_PERIOD_DAYS = 3
_NEWEST = 8
"""Campaigns that most is done with: they are the liveliest."""
_CLICKS = 2_000
"""Of which some are taken back: of older ones tracking may have none."""
_RATES: dict[str, Json] = {
    "social": {"posting": "5", "view": "0.0105", "like": "0.25", "comment": "0.5"},
    "url": {"click": "0.35"},
    "referral": {"conversion": "3.25"},
    "ecommerce": {"commission": "12.5"},
}
BROWSER = {
    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
}
"""The keys of RFC 8291's appendix A, which tells the private one too."""
_BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:56.0) Gecko/20100101 Firefox/56.0"


@dataclass(slots=True)
class Order:
    """An order and the shop that sells it: a campaign may have two, and each tells of its own orders."""

    content: Json
    shop: Json
    refunded: bool = False


@dataclass(slots=True)
class Campaign:
    """What is known of a campaign. budget: the highest asked for, in major units. end: the last day."""

    id: str
    kind: CampaignType
    budget: int
    end: date
    approved: bool = False
    manual: bool = False
    participations: dict[str, str] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    shop: Json | None = None
    orders: list[Order] = field(default_factory=list)


class Market:
    """Trades through `gateway` until told to stop.

    makers: their names are the channels of the stand-in's videos; each is an influencer.
    standins: base URL of the push service where makers subscribe; they get none when None.
    a_day: about so many campaigns start on each day; no limit when None.
    closed_after: so long after its end a campaign is closed and forgotten, or all would be polled for ever.
    """

    def __init__(
        self,
        gateway: str,
        folder: Folder,
        makers: Sequence[str],
        seed: int,
        history: History,
        standins: str | None = None,
        a_day: int | None = None,
        closed_after: timedelta = timedelta(days=30),
    ) -> None:
        self.history = history
        self._standins = standins
        self._a_day = a_day
        self._closed_after = closed_after
        self._gateway = gateway
        self._folder = folder
        self._makers = {uuid5(NAMES, f"{seed}:{maker}"): maker for maker in makers}
        self._seed = seed
        self._numbers = count(1)
        self._drafts = count()
        self._campaigns: list[Campaign] = []
        self._clicks: deque[str] = deque(maxlen=_CLICKS)
        self._advertiser = uuid5(NAMES, f"{seed}:advertiser")
        self._bearer = ""
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=16)
        self._client = httpx.AsyncClient(
            base_url=gateway, timeout=_ANSWER_SECONDS, limits=limits, trust_env=False
        )

    async def close(self) -> None:
        await self._client.aclose()

    @property
    def now(self) -> datetime:
        return ManualClock(self._folder.clock).now()

    def move(self, by: timedelta) -> None:
        set_manual(self._folder.clock, self.now + by)

    async def open(self, settle: Callable[[], Awaitable[None]]) -> None:
        """The brand and the makers sign up, at rest: what all else stands on."""
        self._sign()
        await self._insist(
            "organisation",
            "/v1/organisations",
            {"id": str(self._advertiser), "kind": "advertiser", "name": "Brand", "country": "US"},
        )
        items = [
            {
                "id": str(person),
                "display_name": maker,
                "country": "US",
                "contact": self._contact(person),
                "payee": {"country": "US", "payment_mode": "automatic"},
            }
            for person, maker in self._makers.items()
        ]
        await self._insist("sign_up", "/v1/influencers/import", {"items": items})
        await settle()
        accounts = [
            {"influencer_id": str(person), "platform": "youtube", "external_id": channel_id(maker)}
            for person, maker in self._makers.items()
        ]
        await self._insist("connect", "/v1/accounts/import", {"items": accounts})
        await settle()

    def _contact(self, person: UUID) -> Json:
        push = [] if self._standins is None else [{"endpoint": f"{self._standins}/push/{person}", **BROWSER}]
        return {"email": f"{person}@creators.example", "push": push}

    async def _insist(self, kind: str, path: str, body: Json) -> None:
        told = await self._ask(kind, "POST", path, body)
        assert told.outcome == "acknowledged", told

    async def trade(self, people: int, turn: int, stop: asyncio.Event) -> None:
        """`people` act side by side, each by a seed of its own for this turn, until `stop` is set and the
        last act is done."""
        self._sign()
        async with asyncio.TaskGroup() as group:
            for person in range(people):
                chance = random.Random(f"{self._seed}:{turn}:{person}")
                group.create_task(self._act(chance, stop))

    async def _act(self, chance: random.Random, stop: asyncio.Event) -> None:
        acts: dict[Callable[[random.Random], Awaitable[None]], int] = {
            self._draft: 3,
            self._approve: 6,
            self._join: 14,
            self._accept: 4,
            self._withdraw: 1,
            self._look: 6,
            self._click: 30,
            self._order: 14,
            self._refund: 6,
            self._raise: 6,
            self._edit: 4,
            self._judge: 6,
            self._reverse: 2,
            self._pay: 6,
        }
        while not stop.is_set():
            [act] = chance.choices(list(acts), list(acts.values()))
            await act(chance)
            await asyncio.sleep(chance.random() * 0.05)

    # Brands

    async def _draft(self, chance: random.Random) -> None:
        start = (self.now + timedelta(days=1)).date()
        end = start + timedelta(days=_PERIOD_DAYS)
        await self._close_old()
        if self._a_day is not None and sum(each.end == end for each in self._campaigns) >= self._a_day:
            return
        kind = _KINDS[next(self._drafts) % len(_KINDS)]
        title = f"Campaign {self._seed}-{next(self._numbers)}"
        manual, budget = chance.random() < 0.3, chance.choice((20, 60, 400))
        body = {
            "advertiser_id": str(self._advertiser),
            "type": kind,
            "title": title,
            "country": "US",
            "time_zone": "America/New_York",
            "pre_launch_date": None,
            "start_date": str(start),
            "end_date": str(end),
            "currency": "USD",
            "budget": str(budget),
            "approval_mode": "manual" if manual else "auto",
            "multi_posting": True,
            "audience": {"platforms": ["youtube"]} if kind == "social" else {},
            "hashtags": list(HASHTAGS) if kind == "social" else [],
            "product_url": "https://shop.example/product",
            "landing_url": "https://shop.example/landing",
            "rates": _RATES[kind],
            "cap": str(chance.choice((15, 150, 5_000))),
            "hold_days": 0,
        }
        subject = {"title": title, "budget": budget}
        told = await self._ask("draft", "POST", "/v1/campaigns", body, subject=subject)
        if told.outcome == "acknowledged":
            self._campaigns.append(Campaign(told.answer["id"], kind, budget, end, manual=manual))

    async def _close_old(self) -> None:
        """What staff do when all is over: whatever nobody has decided on is approved."""
        over = (self.now - self._closed_after).date()
        closed = [each for each in self._campaigns if each.end < over]
        self._campaigns = [each for each in self._campaigns if each.end >= over]
        for each in closed:
            if each.kind == "social":
                body = {"campaign_id": each.id}
                await self._ask("close", "POST", "/v1/posts/approve", body, subject={"campaign": each.id})

    async def _approve(self, chance: random.Random) -> None:
        today = self.now.date()
        if not (drafts := [each for each in self._campaigns if not each.approved and each.end >= today]):
            return
        this = chance.choice(drafts)
        if this.kind in ("referral", "ecommerce") and not this.codes:
            codes = [f"C{this.id[:8]}{n}" for n in range(_CODES)]
            told = await self._ask(
                "codes",
                "POST",
                "/v1/referral-codes",
                {"campaign_id": this.id, "codes": codes},
                subject={"campaign": this.id, "codes": codes},
            )
            if told.outcome != "acknowledged":
                return
            this.codes = codes
        if this.kind != "social" and this.shop is None and not await self._open_shop(this):
            return
        told = await self._ask(
            "approve", "POST", f"/v1/campaigns/{this.id}/approve", subject={"campaign": this.id}
        )
        this.approved = this.approved or told.outcome == "acknowledged"

    async def _open_shop(self, this: Campaign) -> bool:
        """With a secret of the shop's own: the answer may be lost, and shows none a second time."""
        secret = uuid5(NAMES, this.id).hex
        body = {"campaign_id": this.id, "kind": "shopify", "domain": "a.test", "secret": secret}
        told = await self._ask("shop", "POST", "/v1/shops", body, subject={"campaign": this.id})
        if told.outcome == "acknowledged":
            this.shop = told.answer
        elif (found := await self._read(f"/v1/shops?campaign_id={this.id}")) and found["items"]:
            opened = found["items"][0]
            this.shop = {"hook": f"/hooks/shopify/{opened['id']}", "secret": secret}
        return this.shop is not None

    async def _raise(self, chance: random.Random) -> None:
        """More budget, while visitors and buyers come for it."""
        if (this := self._any(chance)) is None:
            return
        read = await self._read(f"/v1/campaigns/{this.id}")
        if read is None:
            return
        this.budget += chance.randint(1, 40)
        wanted = this.budget
        raising = self._ask(
            "raise",
            "PATCH",
            f"/v1/campaigns/{this.id}",
            {"budget": str(wanted)},
            subject={"campaign": this.id, "budget": wanted},
            headers={"if-match": f'"{read["version"]}"'},
        )
        await asyncio.gather(raising, self._swarm(chance, this), self._sell(chance, this))

    async def _edit(self, chance: random.Random) -> None:
        """Other words, and at times a later end or a higher cap."""
        if not self._campaigns:
            return
        this = chance.choice(self._campaigns[-_NEWEST:])
        read = await self._read(f"/v1/campaigns/{this.id}")
        if read is None:
            return
        words = f"Wording {next(self._numbers)}"
        changes = {"post_requirements": words}
        if chance.random() < 0.3:
            changes["cap"] = str(Decimal(read["cap"]) + chance.randint(1, 20))
        if chance.random() < 0.2:
            changes["end_date"] = str(date.fromisoformat(read["end_date"]) + timedelta(days=1))
        await self._ask(
            "edit",
            "PATCH",
            f"/v1/campaigns/{this.id}",
            changes,
            subject={"campaign": this.id, **changes},
            headers={"if-match": f'"{read["version"]}"'},
        )

    # Creators

    async def _join(self, chance: random.Random) -> None:
        if (this := self._any(chance)) is None:
            return
        person = chance.choice(list(self._makers))
        told = await self._ask(
            "join",
            "POST",
            "/v1/participations",
            {"campaign_id": this.id, "influencer_id": str(person)},
            subject={"campaign": this.id, "influencer": str(person)},
        )
        if told.outcome == "acknowledged":
            this.participations[told.answer["id"]] = told.answer["state"]

    async def _accept(self, chance: random.Random) -> None:
        waiting = [
            (each, one)
            for each in self._campaigns
            for one, state in each.participations.items()
            if state == "applied"
        ]
        if waiting:
            this, one = chance.choice(waiting)
            told = await self._ask(
                "accept", "POST", f"/v1/participations/{one}/approve", subject={"participation": one}
            )
            if told.outcome == "acknowledged":
                this.participations[one] = "joined"

    async def _withdraw(self, chance: random.Random) -> None:
        if (this := self._any(chance)) is None or not this.participations:
            return
        one = chance.choice(list(this.participations))
        told = await self._ask(
            "withdraw", "POST", f"/v1/participations/{one}/withdraw", subject={"participation": one}
        )
        if told.outcome == "acknowledged":
            this.participations[one] = "withdrawn"

    # Visitors and shops

    async def _look(self, chance: random.Random) -> None:
        if (this := self._any(chance, "url")) is None:
            return
        found = await self._read(f"/v1/links?campaign_id={this.id}&limit=50")
        if found is not None:
            this.links = [each["url"] for each in found["items"]]

    async def _click(self, chance: random.Random) -> None:
        with_links = [each for each in self._campaigns if each.links]
        if with_links:
            await self._swarm(chance, chance.choice(with_links[-_NEWEST:]))

    async def _swarm(self, chance: random.Random, this: Campaign) -> None:
        """Visitors come in swarms, and none comes twice."""
        if not this.links:
            return
        visits = [
            (urlsplit(chance.choice(this.links)).path, f"{chance.randrange(1 << 64):x}")
            for _ in range(chance.randint(1, _SWARM))
        ]
        await asyncio.gather(*(self._visit(path, visitor) for path, visitor in visits))

    async def _visit(self, path: str, visitor: str) -> None:
        told = self.history.ask("click", link=path)
        headers = {"user-agent": f"{_BROWSER} v/{visitor}", "idempotency-key": str(uuid4())}

        async def send() -> httpx.Response:
            return await self._client.get(path, headers=headers)

        if (response := await self._until_told(told, send)) is not None and response.status_code == 302:
            query = parse_qs(urlsplit(response.headers["location"]).query)
            told.answer = {"click": query["souk_click"][0]}
            self._clicks.append(told.answer["click"])

    async def _order(self, chance: random.Random) -> None:
        ready = [each for each in self._campaigns if each.shop and each.codes and each.approved]
        if ready:
            await self._sell(chance, chance.choice(ready[-_NEWEST:]))

    async def _sell(self, chance: random.Random, this: Campaign) -> None:
        if not (this.shop and this.codes and this.approved):
            return
        seller = this.shop
        number = self._seed * 1_000_000 + next(self._numbers)
        items = [
            shop.Item(
                id=number * 10 + line,
                price=Decimal(chance.randint(900, 9_900)) / 100,
                quantity=chance.randint(1, 3),
                discount=Decimal(chance.randint(0, 300)) / 100,
            )
            for line in range(chance.randint(1, 3))
        ]
        content = shop.order(number, self.now, items, code=chance.choice([*this.codes, "NOBODY"]))
        net = sum((item.net for item in items), Decimal(0))
        told = self.history.ask("order", campaign=this.id, order=str(number), net=str(net))
        await self._hook(told, seller, "orders/create", content)
        if told.outcome != "refused":
            this.orders.append(Order(content, seller))
        if chance.random() < 0.2:
            again = self.history.ask("order", campaign=this.id, order=str(number), net=str(net))
            await self._hook(again, seller, "orders/create", content)

    async def _refund(self, chance: random.Random) -> None:
        open_ = [(each, o) for each in self._campaigns for o in each.orders if not o.refunded]
        if not open_:
            return
        this, order = chance.choice(open_)
        order.refunded = True
        lines = order.content["line_items"]
        quantities = {line["id"]: line["quantity"] for line in lines}
        if chance.random() < 0.5:
            quantities = {lines[0]["id"]: 1}
        number = next(self._numbers)
        content = shop.refund(number, order.content, self.now, quantities)
        amount = sum((Decimal(line["subtotal"]) for line in content["refund_line_items"]), Decimal(0))
        told = self.history.ask(
            "refund", campaign=this.id, order=str(order.content["id"]), refund=str(number), amount=str(amount)
        )
        await self._hook(told, order.shop, "refunds/create", content)
        if chance.random() < 0.2:
            again = self.history.ask("refund", **told.subject)
            await self._hook(again, order.shop, "refunds/create", content)

    async def _hook(self, told: Told, seller: Json, topic: shop.Topic, content: Json) -> None:
        webhook = shop.sign(topic, content, seller["secret"], str(uuid4()), "a.test")

        async def send() -> httpx.Response:
            headers = dict(webhook.headers)
            return await self._client.post(seller["hook"], content=webhook.body, headers=headers)

        # A shop sends what got no answer again, and once more, and gives up only then.
        await self._until_told(told, send, again=1.0)

    # Staff

    async def _judge(self, chance: random.Random) -> None:
        if (this := self._any(chance, "social")) is None:
            return
        found = await self._read(f"/v1/posts?campaign_id={this.id}&limit=100")
        if not found or not found["items"]:
            return
        one = chance.choice(found["items"])
        act = chance.choice(("approve", "approve", "approve", "ineffective", "effective"))
        body = {"reason": "not what was agreed"} if act == "ineffective" else {}
        await self._ask(
            f"post_{act}", "POST", f"/v1/posts/{one['id']}/{act}", body, subject={"post": one["id"]}
        )

    async def _reverse(self, chance: random.Random) -> None:
        if not self._clicks:
            return
        chosen = chance.sample(self._clicks, min(3, len(self._clicks)))
        taken = chance.random() < 0.7
        # Some ask for what is so already.
        for _ in range(chance.choice((1, 2))):
            await self._ask(
                "reverse",
                "POST",
                "/v1/clicks/reverse",
                {"ids": chosen, "reversed": taken},
                subject={"clicks": chosen, "reversed": taken},
            )

    async def _pay(self, chance: random.Random) -> None:
        act = chance.choice(("paid", "paid", "failed", "corrected"))
        status = "failed" if act == "corrected" else "reviewing"
        found = await self._read(f"/v1/payments?status={status}&limit=50")
        if not found or not found["items"]:
            return
        one = chance.choice(found["items"])
        body = {"reason": "no such account"} if act == "failed" else {}
        await self._ask(
            f"payment_{act}", "POST", f"/v1/payments/{one['id']}/{act}", body, subject={"payment": one["id"]}
        )

    # How one asks

    def _any(self, chance: random.Random, kind: str | None = None) -> Campaign | None:
        known = [each for each in self._campaigns if each.approved and kind in (None, each.kind)]
        return chance.choice(known[-_NEWEST:]) if known else None

    def _sign(self) -> None:
        self._bearer = tokens.token(self._folder, "staff")

    async def _read(self, path: str) -> Json | None:
        try:
            response = await self._client.get(path, headers={"authorization": f"Bearer {self._bearer}"})
        except httpx.HTTPError:
            return None
        found: Json = response.json() if response.status_code == httpx.codes.OK else {}
        return found or None

    async def _ask(
        self,
        kind: str,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        subject: Json | None = None,
        headers: Json | None = None,
    ) -> Told:
        told = self.history.ask(kind, **(subject or {}))
        sent = {
            "authorization": f"Bearer {self._bearer}",
            "idempotency-key": str(uuid4()),
            "content-type": "application/json",
            **(headers or {}),
        }

        async def send() -> httpx.Response:
            return await self._client.request(method, path, content=json.dumps(body or {}), headers=sent)

        await self._until_told(told, send, again=0.0 if method == "PATCH" else _SEND_AGAIN)
        return told

    async def _until_told(
        self, told: Told, send: Callable[[], Awaitable[httpx.Response]], again: float = _SEND_AGAIN
    ) -> httpx.Response | None:
        """Send, and send the same again while there is no answer, as most clients do and some don't."""
        chance = random.Random(f"{self._seed}:{told.kind}:{self.history.asked}")
        while True:
            told.sent += 1
            try:
                response = await send()
            except httpx.HTTPError as error:
                told.answer = {"error": type(error).__name__}
            else:
                told.status = response.status_code
                if response.status_code < 500:
                    told.outcome = "refused" if response.status_code >= 400 else "acknowledged"
                    told.answer = response.json() if _is_json(response) else {}
                    return response
            if told.sent >= _TRIES or chance.random() >= again:
                return None
            await asyncio.sleep(0.1 * 2**told.sent)


def _is_json(response: httpx.Response) -> bool:
    return "json" in response.headers.get("content-type", "")
