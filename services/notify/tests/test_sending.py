"""Mail and pushes on real sockets: at most once, retried only where nobody took them."""

import asyncio
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast, get_args

import http_ece
import pytest
from aiosmtpd.smtp import SMTP
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey
from prometheus_client import REGISTRY
from py_vapid import Vapid02
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from souk.chassis.server import served
from souk.chassis.timers import Job, Timer
from souk.contracts.topics.contacts import PushSubscription
from souk.contracts.topics.deliveries import Channel
from souk.notify.channels.mail import Composer
from souk.notify.channels.outlet import Result
from souk.notify.channels.smtp import MailOutlet, read_server
from souk.notify.channels.webpush import PushOutlet, read_key
from souk.notify.domain.tokens import verify
from souk.notify.handlers.sending import sender
from souk.notify.store import deliveries

from .conftest import (
    AUTUMN,
    KENJI,
    MARIE,
    SPRING,
    START,
    House,
    announcement,
    campaign,
    contact,
    eventually,
    influencer,
    payment,
    subscription,
)

SECRET = b"of the tests alone"


@dataclass
class Mailbox:
    """A mail server that keeps what it gets. answers: what it says to the next recipients or messages,
    by address, before it takes any; `drop`: it hangs up instead; `hold`: it says nothing for a minute."""

    answers: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    messages: list[tuple[str, bytes]] = field(default_factory=list)
    held: bool = False

    async def holds(self) -> bool:
        return self.held

    def _answer(self, stage: str, address: str, server: Any) -> str | None:
        waiting = self.answers.get((stage, address), [])
        said = waiting.pop(0) if waiting else None
        if said == "drop":
            server.transport.abort()
            return "421 gone"
        return said

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if said := self._answer("RCPT", address, server):
            return said
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if said := self._answer("DATA", envelope.rcpt_tos[0], server):
            if said == "hold":
                self.held = True
                await asyncio.sleep(60)
            return said
        self.messages.append((envelope.rcpt_tos[0], envelope.content))
        return "250 OK"

    def mail(self) -> list[EmailMessage]:
        return [cast("EmailMessage", message_from_bytes(raw, policy=default)) for _, raw in self.messages]


@asynccontextmanager
async def mail_server(box: Mailbox, port: int = 0) -> AsyncIterator[int]:
    """`box` behind a real SMTP server; its port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(box, hostname="mail.test"), "127.0.0.1", port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


@pytest.fixture
async def box(house: House) -> AsyncIterator[Mailbox]:
    """The mailbox at which the house's mail arrives."""
    box = Mailbox()
    async with mail_server(box) as port:
        outlet = house.outlets["email"] = mail_outlet(port)
        try:
            yield box
        finally:
            await outlet.close()


def mail_outlet(port: int) -> MailOutlet:
    return MailOutlet(
        read_server(f"smtp://127.0.0.1:{port}"),
        Composer("souk <notices@souk.example>"),
        sender="notices@souk.example",
        link="https://souk.example/unsubscribe/",
        secret=SECRET,
        connections=4,
    )


def address_of(influencer_id: Any) -> str:
    return f"{influencer_id.int:x}@example.org"


async def test_a_start_mail_lists_its_campaigns_and_can_be_unsubscribed_by_one_click(
    house: House, box: Mailbox
) -> None:
    await house.hear(
        contact(locale="ja"),
        influencer(name="マリー <b>"),
        campaign(SPRING, title="Spring & <joy>"),
        campaign(AUTUMN, title="ฤดูใบไม้ร่วง"),
    )

    await house.told(announcement({MARIE: [SPRING, AUTUMN]}))

    [mail] = box.mail()
    text, html = (part.get_content() for part in mail.iter_parts())
    assert mail["Subject"] == "本日開始のキャンペーン"
    assert mail["To"] == address_of(MARIE)
    assert "マリー <b> 様" in text
    assert "Spring & <joy>" in text
    assert "ฤดูใบไม้ร่วง" in text
    assert "2017年9月20日" in text
    assert "マリー &lt;b&gt; 様" in html
    assert "Spring &amp; &lt;joy&gt;" in html
    link = mail["List-Unsubscribe"].strip("<>")
    assert link in text
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert verify(SECRET, link.rsplit("/", 1)[1]) == MARIE
    [(delivery,)] = await house.query("SELECT id FROM delivery WHERE channel = 'email'")
    assert mail["Message-ID"] == f"<{delivery}@souk.example>"


async def test_a_payment_mail_says_the_amount(house: House, box: Mailbox) -> None:
    await house.told(contact(), influencer(), payment(status="paid"))

    [mail] = box.mail()
    assert mail["Subject"] == "You have been paid"
    assert "$1,234.56" in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]


async def test_a_refused_address_bounces_and_is_not_used_again(house: House, box: Mailbox) -> None:
    box.answers["RCPT", address_of(MARIE)] = ["550 5.1.1 no such user"]
    before = handed_over("failed")
    await house.told(contact(), payment(status="paid"))
    assert (await house.statuses())["email"] == "failed"
    assert handed_over("failed") == before + 1

    await house.told(payment(payment_id=SPRING, status="paid"))
    await house.hear(contact(version=2, email="new@example.org"))
    await house.told(payment(payment_id=AUTUMN, status="paid"))

    statuses = await house.query(
        "SELECT status, detail FROM delivery WHERE channel = 'email' ORDER BY detail"
    )
    assert statuses == [("suppressed", "bounced"), ("failed", "refused_550"), ("sent", None)]
    assert await house.query("SELECT 1 FROM suppression") == []


def handed_over(result: str) -> float:
    labels = {"channel": "email", "result": result}
    return REGISTRY.get_sample_value("souk_notify_handed_over_total", labels) or 0


def test_every_outcome_is_counted_from_nothing() -> None:
    """Prometheus sees no growth in a series that comes with its first value."""
    pigeons = cast("Channel", "pigeons")

    sender(pigeons, mail_outlet(port=0))

    for result in get_args(Result):
        labels = {"channel": pigeons, "result": result}
        assert REGISTRY.get_sample_value("souk_notify_handed_over_total", labels) == 0


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
async def test_a_temporary_refusal_is_tried_again(house: House, box: Mailbox, stage: str) -> None:
    box.answers[stage, address_of(MARIE)] = ["451 4.7.1 come back later"]

    await house.told(contact(), payment(status="paid"))

    assert len(box.messages) == 1
    assert await house.query("SELECT status, attempts FROM delivery WHERE channel = 'email'") == [("sent", 2)]


async def test_a_message_without_an_answer_is_never_sent_again(house: House, box: Mailbox) -> None:
    box.answers["DATA", address_of(MARIE)] = ["drop"]
    before = handed_over("unknown")

    await house.told(contact(), payment(status="paid"))

    assert box.messages == []
    assert handed_over("unknown") == before + 1
    assert await house.query("SELECT status, detail FROM delivery WHERE channel = 'email'") == [
        ("unknown", "no_answer")
    ]


async def test_a_server_that_is_away_costs_no_attempt(house: House, caplog: pytest.LogCaptureFixture) -> None:
    box = Mailbox()
    async with mail_server(box) as port:
        pass
    outlet = house.outlets["email"] = mail_outlet(port)
    await house.hear(contact(), payment(status="paid"))
    untouched, sent = handed_over("untouched"), handed_over("sent")

    working = asyncio.create_task(house.work_off())
    await eventually(lambda: said(caplog, "channel away"))
    assert handed_over("untouched") > untouched
    assert handed_over("sent") == sent
    async with mail_server(box, port):
        await working
        await outlet.close()

    assert await house.query("SELECT status, attempts FROM delivery WHERE channel = 'email'") == [("sent", 1)]


async def said(caplog: pytest.LogCaptureFixture, message: str) -> bool:
    return message in caplog.messages


async def test_a_sender_that_is_stopped_leaves_for_the_next_one_what_it_never_offered(
    house: House, box: Mailbox
) -> None:
    people = [type(MARIE)(int=number) for number in range(1, 21)]
    box.answers["DATA", address_of(people[0])] = ["hold"]
    await house.hear(*[contact(one) for one in people], campaign())
    await house.hear(*[payment(one, payment_id=one, status="paid") for one in people])
    outlet = house.outlets["email"]
    outlet.width = 1
    timer = Timer("deliveries.email", "all", START, {}, 0)
    sending = asyncio.create_task(sender("email", outlet)(Job(house.units, timer, no_barrier)))
    await eventually(box.holds)

    sending.cancel()
    await asyncio.wait({sending}, timeout=10)
    stopped = await house.query(
        "SELECT status, count(*) FROM delivery WHERE channel = 'email' GROUP BY 1 ORDER BY 1"
    )
    await house.work_off()

    assert ("unknown", 1) in stopped
    assert not {"sending"} & {status for status, _ in stopped}
    told = [address for address, _ in box.messages]
    assert len(told) == len(set(told)) == 19


async def no_barrier(*topics: Any) -> None:
    return None


async def test_what_a_dead_sender_had_claimed_becomes_unknown(house: House, box: Mailbox) -> None:
    await house.hear(contact(), payment(status="paid"))
    async with house.units.begin() as work:
        await deliveries.claim(work, "email", datetime.now(UTC), 10)

    await house.work_off()

    assert box.messages == []
    assert (await house.statuses())["email"] == "unknown"


async def test_a_switch_turned_off_after_the_making_holds_back_what_is_not_sent_yet(
    house: House, box: Mailbox
) -> None:
    await house.hear(contact(), payment(status="paid"))
    await house.hear(contact(version=2, notifications="off"))

    await house.work_off()

    assert box.messages == []
    assert (await house.statuses())["email"] == "suppressed"


async def test_a_thousand_are_each_mailed_once(house: House, box: Mailbox) -> None:
    people = [type(MARIE)(int=number) for number in range(1000)]
    await house.hear(*[contact(one) for one in people], *[influencer(one) for one in people], campaign())
    await house.hear(*[announcement({one: [SPRING] for one in people[:500]}, part=1)])
    await house.hear(*[announcement({one: [SPRING] for one in people[500:]}, part=2)])

    await house.work_off()

    assert sorted(address for address, _ in box.messages) == sorted(address_of(one) for one in people)


@dataclass
class PushService:
    """Keeps what it gets; `answers` are its next status codes."""

    answers: list[int] = field(default_factory=list)
    pushes: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def app(self) -> Starlette:
        async def take(request: Request) -> Response:
            body = await request.body()
            status = self.answers.pop(0) if self.answers else 201
            if status == 201:
                self.pushes.append((request.url.path, dict(request.headers), body))
            return Response(status_code=status)

        return Starlette(routes=[Route("/{path:path}", take, methods=["POST"])])


@dataclass
class Browser:
    """A subscriber: what it tells the service, and how it reads what comes."""

    key: ec.EllipticCurvePrivateKey
    secret: bytes

    def subscribe(self, endpoint: str) -> PushSubscription:
        public = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return subscription(
            endpoint,
            p256dh=urlsafe_b64encode(public).decode().rstrip("="),
            auth=urlsafe_b64encode(self.secret).decode().rstrip("="),
        )

    def read(self, body: bytes) -> Any:
        return json.loads(http_ece.decrypt(body, private_key=self.key, auth_secret=self.secret))


@pytest.fixture
def browser() -> Browser:
    return Browser(ec.generate_private_key(ec.SECP256R1()), os.urandom(16))


@pytest.fixture
async def pushes(house: House) -> AsyncIterator[tuple[PushService, str, Vapid02]]:
    service = PushService()
    vapid = Vapid02()
    vapid.generate_keys()
    async with served(service.app()) as url:
        key = read_key(vapid.private_pem().decode())
        outlet = house.outlets["push"] = PushOutlet(key, "mailto:notices@souk.example", {url})
        try:
            yield service, url, vapid
        finally:
            await outlet.close()


async def test_a_push_is_encrypted_for_the_browser_and_signed_by_us(
    house: House, pushes: tuple[PushService, str, Vapid02], browser: Browser
) -> None:
    service, url, _ = pushes

    await house.hear(contact(push=(browser.subscribe(f"{url}/abc"),)), campaign())
    await house.told(announcement({MARIE: [SPRING]}))

    [(path, headers, body)] = service.pushes
    read = browser.read(body)
    assert path == "/abc"
    assert read["kind"] == "campaign.started"
    assert read["title"] == "Spring has started"
    assert headers["ttl"] == "86400"
    assert headers["content-encoding"] == "aes128gcm"
    token, _, public = headers["authorization"].removeprefix("vapid t=").partition(",k=")
    raw = urlsafe_b64decode(public + "=" * (-len(public) % 4))
    key = ECKey.import_key({"kty": "EC", "crv": "P-256", "x": _base64(raw[1:33]), "y": _base64(raw[33:])})
    claims = jwt.decode(token, key, algorithms=["ES256"]).claims
    assert claims["aud"] == url
    assert claims["sub"] == "mailto:notices@souk.example"
    assert (await house.statuses())["push"] == "sent"


@pytest.mark.parametrize("status", [404, 410])
async def test_a_subscription_that_is_gone_is_dropped(
    house: House, pushes: tuple[PushService, str, Vapid02], browser: Browser, status: int
) -> None:
    service, url, _ = pushes
    service.answers = [status]
    await house.hear(contact(push=(browser.subscribe(f"{url}/abc"),)), campaign(), campaign(AUTUMN))
    await house.told(announcement({MARIE: [SPRING]}))

    await house.told(announcement({MARIE: [AUTUMN]}, part=2, day="2017-09-21"))

    assert service.pushes == []
    detail = await house.query("SELECT detail FROM delivery WHERE channel = 'push' ORDER BY detail")
    assert detail == [("no_subscription",), (f"refused_{status}",)]


async def test_a_busy_push_service_is_asked_again(
    house: House, pushes: tuple[PushService, str, Vapid02], browser: Browser
) -> None:
    service, url, _ = pushes
    service.answers = [503]

    await house.hear(contact(push=(browser.subscribe(f"{url}/abc"),)), campaign())
    await house.told(announcement({MARIE: [SPRING]}))

    assert len(service.pushes) == 1
    assert await house.query("SELECT status, attempts FROM delivery WHERE channel = 'push'") == [("sent", 2)]


async def test_pushes_never_go_into_our_own_network(
    house: House, pushes: tuple[PushService, str, Vapid02], browser: Browser
) -> None:
    service, url, _ = pushes
    inside = url.replace("127.0.0.1", "localhost")

    await house.hear(
        contact(push=(browser.subscribe(f"{inside}/abc"),)),
        contact(KENJI, push=(browser.subscribe("https://localhost/abc"),)),
        campaign(),
    )
    await house.told(announcement({MARIE: [SPRING], KENJI: [SPRING]}))

    assert service.pushes == []
    assert await house.query("SELECT DISTINCT status, detail FROM delivery WHERE channel = 'push'") == [
        ("failed", "endpoint_refused")
    ]


def _base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
