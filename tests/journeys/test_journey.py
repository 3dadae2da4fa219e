"""The life of one small campaign of each type, lived by the people who live it, each with their own token."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from running import Suite, brief

from souk.checker.check import check
from souk.contracts.topic import SERVICES, Service
from souk.contracts.topics import TOPICS
from souk.contracts.topics.clicks import Click
from souk.local.demo.api import Api, Refused
from souk.local.standins import shop
from souk.local.standins.catalogue import channel_id

Json = dict[str, Any]
PERIOD = {"start_date": "2017-09-28", "end_date": "2017-09-29"}
TRADING = datetime(2017, 9, 28, 18, tzinfo=UTC)
OVER = datetime(2017, 10, 1, tzinfo=UTC)
RUN = "2017-10-05"
AFTER_RUN = datetime(2017, 10, 5, 2, tzinfo=UTC)
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:56.0) Gecko/20100101 Firefox/56.0"
SECRETS = ("ulla@brand.example", "Ulla Userson", "@creators.example", "Legal ", "1990-02-03", "0123456789")
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Life:
    """Who lived it and which campaigns were in it, by type. offers: what the poster was offered at first."""

    brand: Api
    talents: Api
    people: dict[str, UUID]
    campaigns: dict[str, str]
    offers: list[Json]
    applied: Json
    refusals: dict[str, str | None]

    def earned_by(self, kind: str) -> UUID:
        return self.people[
            {"social": "poster", "url": "linker", "referral": "coder", "ecommerce": "seller"}[kind]
        ]


async def items(api: Api, path: str, **query: Any) -> list[Json]:
    return [each async for each in api.pages(path, **query)]


async def reason_of(call: Any) -> str | None:
    try:
        await call
    except Refused as refused:
        return refused.reason
    return None


def profile(person: UUID, name: str, **fields: Any) -> Json:
    return {
        "id": str(person),
        "display_name": name,
        "country": "US",
        "birth_date": "1990-02-03",
        "contact": {"email": f"{person}@creators.example"},
        "payee": {
            "country": "US",
            "payment_mode": "automatic",
            "legal_name": f"Legal {name}",
            "bank_account": "0123456789",
        },
        **fields,
    }


@pytest.fixture(scope="module")
async def life(suite: Suite) -> Life:
    staff = suite.api("staff")
    brand_id, talents_id = await suite.organisation("advertiser"), await suite.organisation("talent-agency")
    brand = suite.api("advertiser", organisation=brand_id)
    talents = suite.api("talent-agency", organisation=talents_id)
    await brand.post("/v1/users", {"email": "ulla@brand.example", "name": "Ulla Userson"})
    campaigns = await approved(suite, brand, staff)

    poster, linker = uuid4(), uuid4()
    own = suite.api("influencer", influencer=poster)
    await staff.post("/v1/influencers", profile(poster, "Maker 6"))
    await talents.post("/v1/influencers", profile(linker, "Maker 7", talent_agency_id=str(talents_id)))
    await suite.settle()
    await own.post("/v1/accounts", {"influencer_id": str(poster), "external_id": channel_id("Maker 6")})
    await talents.post("/v1/accounts", {"influencer_id": str(linker), "external_id": channel_id("Maker 7")})
    coder, seller = await suite.creators("Maker 8", "Maker 9")
    people = {"poster": poster, "linker": linker, "coder": coder, "seller": seller}

    offers = await items(own, "/v1/offers")
    applied = await own.post("/v1/participations", {"campaign_id": campaigns["social"]})
    join = {"campaign_id": campaigns["url"], "influencer_id": str(linker)}
    refusals = {
        "joining for another": await reason_of(own.post("/v1/participations", join)),
        "another's offers": await reason_of(own.get("/v1/offers", influencer_id=str(linker))),
        "approving oneself": await reason_of(own.post(f"/v1/participations/{applied['id']}/approve")),
        "joining for a stranger": await reason_of(
            talents.post("/v1/participations", {**join, "influencer_id": str(poster)})
        ),
    }
    await brand.post(f"/v1/participations/{applied['id']}/approve")
    await talents.post("/v1/participations", join)
    for kind, person in (("referral", coder), ("ecommerce", seller)):
        await suite.api("influencer", influencer=person).post(
            "/v1/participations", {"campaign_id": campaigns[kind]}
        )
    shops = {
        kind: await brand.post(
            "/v1/shops", {"campaign_id": campaigns[kind], "kind": "shopify", "domain": f"{kind}.example"}
        )
        for kind in ("referral", "ecommerce")
    }
    await suite.advance(TRADING)
    await trade(suite, talents, campaigns, shops)
    await suite.advance(OVER)
    await brand.post("/v1/posts/approve", {"campaign_id": campaigns["social"]})
    await suite.advance(AFTER_RUN)
    await staff.post(f"/v1/payment-runs/{RUN}/paid")
    await suite.settle()
    return Life(brand, talents, people, campaigns, offers, applied, refusals)


async def approved(suite: Suite, brand: Api, staff: Api) -> dict[str, str]:
    """A campaign of each type, drafted by the brand, given codes and approved by staff."""
    campaigns = {}
    for kind in ("social", "url", "referral", "ecommerce"):
        terms = {"approval_mode": "manual", "multi_posting": True} if kind == "social" else {}
        campaigns[kind] = str((await brand.post("/v1/campaigns", brief(kind, **PERIOD, **terms)))["id"])
    await suite.settle()
    for kind, code in (("referral", "CODER1"), ("ecommerce", "SELLER1")):
        await staff.post("/v1/referral-codes", {"campaign_id": campaigns[kind], "codes": [code]})
    for campaign in campaigns.values():
        await staff.post(f"/v1/campaigns/{campaign}/approve")
    await suite.settle()
    return campaigns


async def trade(suite: Suite, talents: Api, campaigns: dict[str, str], shops: dict[str, Json]) -> None:
    """A visitor follows the link; a customer orders with each code, in one piece of 10.00."""
    (link,) = await items(talents, "/v1/links", campaign_id=campaigns["url"])
    followed = await suite.client.get(link["url"], headers={"user-agent": BROWSER})
    assert followed.status_code == httpx.codes.FOUND
    for number, (kind, code) in enumerate((("referral", "CODER1"), ("ecommerce", "SELLER1")), 1):
        order = shop.order(number, TRADING, [shop.Item(number, Decimal("10.00"))], code=code)
        webhook = shop.sign("orders/create", order, shops[kind]["secret"], str(number), f"{kind}.example")
        done = await suite.client.post(
            shops[kind]["hook"], content=webhook.body, headers=dict(webhook.headers)
        )
        assert done.json() == {"status": "recorded"}


def test_an_influencer_is_offered_every_approved_campaign(life: Life) -> None:
    assert {offer["campaign_id"] for offer in life.offers} >= set(life.campaigns.values())


def test_nobody_acts_for_others(life: Life) -> None:
    assert life.refusals == {
        "joining for another": "unknown_influencer",
        "another's offers": "unknown_influencer",
        "approving oneself": "forbidden",
        "joining for a stranger": "unknown_influencer",
    }


async def test_who_applied_joins_when_the_advertiser_approves(suite: Suite, life: Life) -> None:
    assert life.applied["state"] == "applied"
    own = suite.api("influencer", influencer=life.people["poster"])
    (mine,) = await items(own, "/v1/participations")

    assert (mine["id"], mine["state"]) == (life.applied["id"], "joined")


@pytest.mark.parametrize(
    ("kind", "revenue", "counted"),
    [
        ("social", "100.000000", ("posts", 2)),
        ("url", "0.050000", ("clicks", 1)),
        ("referral", "3.250000", ("conversions", 1)),
        ("ecommerce", "0.800000", ("conversions", 1)),
    ],
)
async def test_each_type_pays_what_its_rates_say(
    suite: Suite, life: Life, kind: str, revenue: str, counted: tuple[str, int]
) -> None:
    own = suite.api("influencer", influencer=life.earned_by(kind))

    (earning,) = await items(own, "/v1/earnings")
    (payment,) = await items(own, "/v1/payments")

    assert (earning["campaign_id"], earning["revenue"]) == (life.campaigns[kind], revenue)
    assert earning["approved"] == revenue
    assert earning[counted[0]] == counted[1]
    assert payment["status"] == "paid"
    assert payment["gross"] == f"{Decimal(revenue).quantize(Decimal('0.01')):.6f}"


async def test_the_advertiser_pays_margin_on_top_and_sees_the_sum_alone(suite: Suite, life: Life) -> None:
    shown = await life.brand.get(f"/v1/budgets/{life.campaigns['social']}")
    known = await suite.api("staff").get(f"/v1/budgets/{life.campaigns['social']}")

    assert shown["cost"] == known["cost"] == "149.253732"
    assert known["margin"] == "49.253732"
    assert not {"margin", "margin_rate", "revenue"} & shown.keys()


async def test_an_influencer_reads_nothing_of_others(suite: Suite, life: Life) -> None:
    own = suite.api("influencer", influencer=life.people["poster"])
    other = life.people["linker"]
    (theirs,) = await items(life.talents, "/v1/earnings", influencer_id=str(other))
    (paid,) = await items(life.talents, "/v1/payments", influencer_id=str(other))
    notices = await items(suite.api("influencer", influencer=other), "/v1/notifications")

    for path in ("/v1/earnings", "/v1/payments", "/v1/participations", "/v1/links"):
        assert await items(own, path, influencer_id=str(other)) == []
    assert await reason_of(own.get(f"/v1/earnings/{theirs['id']}")) == "unknown_participation"
    assert await reason_of(own.get(f"/v1/earnings/{theirs['id']}/explanation")) == "unknown_participation"
    assert await reason_of(own.get(f"/v1/payments/{paid['id']}")) == "unknown_payment"
    assert await reason_of(own.get(f"/v1/influencers/{other}/payee")) == "unknown_influencer"
    assert notices
    assert await reason_of(own.post(f"/v1/notifications/{notices[0]['id']}/read")) == "unknown_notification"


async def test_each_is_told_what_concerns_them_once(suite: Suite, life: Life) -> None:
    own = suite.api("influencer", influencer=life.people["poster"])

    told = [notice["kind"] for notice in await items(own, "/v1/notifications")]

    assert told.count("participation.approved") == 1
    assert told.count("post.approved") == 2
    assert told.count("payment.paid") == 1
    assert told.count("campaign.started") == len(life.campaigns)


async def test_margin_and_cost_are_in_no_answer_to_an_influencer(suite: Suite, life: Life) -> None:
    own = suite.api("influencer", influencer=life.people["poster"])
    lists = [f"/v1/{name}" for name in ("earnings", "payments", "participations", "posts", "notifications")]
    answers: list[Any] = [life.offers, *[await items(own, path) for path in lists]]
    answers.append(await own.get(f"/v1/earnings/{life.applied['id']}/explanation"))

    assert all(answers)
    assert {key for key in keys_in(answers) if key in {"budget", "cost"} or "margin" in key} == set()


async def test_margin_is_in_no_answer_to_an_advertiser(life: Life) -> None:
    campaign = life.campaigns["social"]
    answers: list[Any] = [
        await life.brand.get(f"/v1/campaigns/{campaign}"),
        await life.brand.get(f"/v1/earnings/{life.applied['id']}/explanation"),
        await items(life.brand, "/v1/earnings", campaign_id=campaign),
    ]

    assert {key for key in keys_in(answers) if "margin" in key or key == "revenue"} == set()


def test_public_topics_hold_no_margin_and_nothing_personal(suite: Suite, life: Life) -> None:
    found = list(public_records(suite))

    seen = {topic for topic, _ in found}
    assert {"campaign.campaigns.v1", "influencer.influencers.v1", "tracking.posts.v1"} <= seen
    leaks = {
        (topic, word)
        for topic, record in found
        for word in ("margin", "bank", "birth", "email", *SECRETS)
        if word.lower() in record.lower()
    }
    assert leaks == set()
    assert any("Maker 6" in record for _, record in found)


def keys_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from keys_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from keys_in(each)


def public_records(suite: Suite) -> Iterator[tuple[str, str]]:
    """Every record of every public topic, headers included, as any other system may read them."""
    consumer = Consumer(
        suite.stack.kafka.settings("subscriber")
        | {"group.id": "subscriber.journeys", "enable.auto.commit": False, "enable.partition.eof": True}
    )
    partitions = [
        TopicPartition(topic.name, partition, 0)
        for topic in TOPICS
        if topic.data_class == "public"
        for partition in range(topic.partitions)
    ]
    left = {(each.topic, each.partition) for each in partitions}
    consumer.assign(partitions)
    deadline = time.monotonic() + PATIENCE
    try:
        while left:
            assert time.monotonic() < deadline, left
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error() is not None:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                left.discard((message.topic(), message.partition()))
            else:
                yield message.topic(), f"{message.value()!r} {message.headers()!r}"
    finally:
        consumer.close()


LOST: Mapping[Service, tuple[str, str]] = {
    "campaign": ("budget", "billing.budgets.v1"),
    "influencer": ("organisation", "campaign.organisations.v1"),
    "tracking": ("member", "campaign.users.v1"),
    "billing": ("member", "campaign.users.v1"),
    "notify": ("influencer", "influencer.influencers.v1"),
}
"""A read copy of each service that a mistaken hand empties, and its topic."""
OWN: Mapping[Service, tuple[str, str]] = {
    "campaign": ("campaign", "campaign.campaigns.v1"),
    "influencer": ("contact", "influencer.contacts.private.v1"),
    "tracking": ("post", "tracking.posts.v1"),
    "billing": ("payment", "billing.payments.v1"),
    "notify": ("delivery", "notify.deliveries.v1"),
}
"""A table of what each service owns, and its topic."""
MOVED = "UPDATE {} SET version = version {} 1"
COMMANDS = ("lag", "deadletter list", "rebuild", "republish", "check --patience 20")
READING = ("consumer_offset", "parked", "timer")
"""Tables that tell when a record was read last."""
ELSEWHERE = {"parked", "unreadable"}
"""What `check` finds of what other tests had parked."""

Operated = Mapping[Service, list[tuple[int, list[Json]]]]


@pytest.fixture(scope="module")
async def operated(suite: Suite, life: Life) -> Operated:
    """For each service exit code and print of `check` after it had LOST a copy and rows of its OWN were MOVED
    by hand, and then, these being as before, of COMMANDS. Afterwards the databases are as they were."""
    ended: dict[Service, list[tuple[int, list[Json]]]] = {}
    await suite.settle()
    async with suite.unchanged(*(f"{service}.{table}" for service in SERVICES for table in READING)):
        for service, (table, _) in LOST.items():
            own, _ = OWN[service]
            assert await suite.execute(service, f"DELETE FROM {table}") != "DELETE 0"
            assert await suite.execute(service, MOVED.format(own, "+")) != "UPDATE 0"
            ended[service] = await suite.commands(service, "check --patience 0")
            await suite.execute(service, MOVED.format(own, "-"))
            ended[service] += await suite.commands(service, *COMMANDS)
            # What it published again would fill the next one's copy.
            await suite.settle()
    return ended


@pytest.mark.parametrize("service", SERVICES)
def test_an_operator_finds_that_a_copy_is_lost_or_a_row_not_as_told_and_mends_both(
    service: Service, operated: Operated
) -> None:
    lost, lag, parked, rebuild, republish, mended = operated[service]
    table, topic = LOST[service]
    own, told = OWN[service]

    (waiting,) = lag[1]
    assert (lag[0], waiting["outbox"], waiting["lag"], waiting["due"]) == (0, 0, 0, 0)
    assert (parked[0], len(parked[1])) == (0, waiting["parked"])
    *found, last = lost[1]
    assert (lost[0], last["findings"]) == (1, len(found))
    assert {(each["check"], each["subject"].rpartition(" ")[0]) for each in found if not elsewhere(each)} == {
        ("copy_missing", f"{service}.{table} {topic}"),
        ("owner_differs", f"{service}.{own} {told}"),
    }
    (rebuilt,) = rebuild[1]
    assert (rebuild[0], [name for name, rows in rebuilt["rebuilt"].items() if not rows]) == (0, [topic])
    (republished,) = republish[1]
    assert (republish[0], republished["republished"].keys()) == (
        0,
        {each.name for each in TOPICS if each.owner == service and each.state is not Click},
    )
    assert all(republished["republished"].values())
    *found, last = mended[1]
    assert (mended[0], last["findings"]) == (1 if found else 0, len(found))
    assert all(map(elsewhere, found))


def elsewhere(finding: Json) -> bool:
    return finding["check"] in ELSEWHERE


async def test_copies_written_anew_agree_with_their_owners_and_tell_nobody_again(
    suite: Suite, operated: Operated
) -> None:
    assert operated.keys() == set(SERVICES)  # that nobody was told again, `unchanged` saw

    report = await check(
        {service: suite.stack.postgres.url(service) for service in SERVICES},
        suite.stack.kafka.access("admin").client(),
        now=suite.now,
    )

    assert [each for each in report.findings if each.check not in ELSEWHERE] == []
