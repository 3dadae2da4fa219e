"""Links of participations, verdicts of clicks, and orders: facts may arrive in any order."""

import asyncio
import hashlib
import hmac
import json
from base64 import b64encode
from datetime import timedelta
from itertools import permutations
from uuid import UUID, uuid4

import jsonschema
import pytest

from souk.contracts.ids import link_id, participation_id
from souk.contracts.topics.clicks import Click
from souk.tracking.handlers import erasure
from souk.tracking.store import copies

from .conftest import (
    AGENCY,
    AUTUMN,
    BRAND,
    DAY,
    END,
    KENJI,
    MARIE,
    SPRING,
    START,
    TALENTS,
    campaign,
    influencer,
    organisation,
    participation,
)  # fmt: skip

HOUR = timedelta(hours=1)
TAKES_PART = participation_id(SPRING, MARIE)
LINK = link_id(TAKES_PART)


def click(minutes=60, visitor="v", agent="browser", name=None):
    return Click(
        id=name or uuid4(), version=1, changed_at=START + timedelta(minutes=minutes), link_id=LINK,
        campaign_id=SPRING, participation_id=TAKES_PART, visitor=visitor, agent=agent,
    )  # fmt: skip


async def counts(house):
    rows = await house.query("SELECT billable, bot, duplicate, outside_period, reversed FROM link")
    return tuple(rows[0])


@pytest.mark.parametrize("order", list(permutations(range(4))))
async def test_facts_in_any_order_give_the_same_link_and_counts(house, order):
    facts = [
        [campaign(type="url")],
        [participation()],
        [click(name=UUID(int=1)), click(61, name=UUID(int=2)), click(62, agent="bot", name=UUID(int=3))],
        [click(-5, name=UUID(int=4)), click(30, name=UUID(int=5))],
    ]

    for place in order:
        await house.hear(*facts[place])

    assert await counts(house) == (1, 1, 2, 1, 0)
    assert await house.query("SELECT verdict FROM click ORDER BY id") == [
        ("duplicate",), ("duplicate",), ("bot",), ("outside_period",), ("billable",),
    ]  # fmt: skip
    state = (await house.published())[-1][1]
    assert (state.landing_url, state.active, len(state.slug)) == (
        "https://shop.example/spring?a=1#top",
        True,
        10,
    )
    assert state.url == f"https://souk.example/r/{state.slug}"


async def test_reading_clicks_again_changes_nothing(house):
    seen = [click(), click(70), click(visitor="w")]
    await house.hear(campaign(type="url"), participation())
    await house.hear(*seen)
    await house.published()

    await house.hear(*seen)

    assert await counts(house) == (2, 0, 1, 0, 0)
    assert await house.published() == []


async def test_one_id_is_one_click_whoever_seems_to_have_clicked(house):
    """A request that is sent again under its Idempotency-Key may come from another address."""
    name = uuid4()
    await house.hear(campaign(type="url"), participation())
    await house.hear(click(name=name))

    await house.hear(click(70, visitor="w", name=name), click(80, visitor="w"))

    assert await counts(house) == (2, 0, 0, 0, 0)
    assert await house.query("SELECT visitor FROM click ORDER BY clicked_at") == [("v",), ("w",)]


async def test_a_later_end_makes_clicks_billable_and_a_withdrawal_stops_them(house):
    late = click((END - START) / timedelta(minutes=1) + 5)
    await house.hear(campaign(type="url"), participation())
    await house.hear(late)
    assert await counts(house) == (0, 0, 0, 1, 0)

    await house.hear(campaign(version=2, type="url", ends_at=END + HOUR))
    assert await counts(house) == (1, 0, 0, 0, 0)
    await house.hear(participation(version=2, state="withdrawn", withdrawn_at=END))

    assert await counts(house) == (0, 0, 0, 1, 0)
    assert (await house.query("SELECT active FROM link")) == [(False,)]


async def test_staff_take_a_click_back_and_give_it_back(house, door):
    await house.hear(campaign(type="url"), participation())
    name = uuid4()
    await house.hear(click(name=name))

    back = await door("staff", "POST", "/v1/clicks/reverse", {"ids": [str(name)]})
    after = await counts(house)
    await door("staff", "POST", "/v1/clicks/reverse", {"ids": [str(name)], "reversed": False})

    assert back.json() == {"changed": 1}
    assert (after, await counts(house)) == ((0, 0, 0, 0, 1), (1, 0, 0, 0, 0))


def order(number=1, code=None, seen=None, at=START + HOUR, **fields):
    lines = [
        {"id": 11, "price": "100.00", "quantity": 2, "discount_allocations": [{"amount": "20.00"}]},
        {"id": 12, "price": "50.00", "quantity": 1},
    ]
    return {
        "id": number, "created_at": at.isoformat(), "currency": "USD", "line_items": lines,
        "discount_codes": [{"code": code}] if code else [],
        "note_attributes": [{"name": "souk_click", "value": str(seen)}] if seen else [],
    } | fields  # fmt: skip


def refund(number=7, quantity=1, subtotal="90.00"):
    return {
        "id": number, "order_id": 1,
        "refund_line_items": [{"line_item_id": 11, "quantity": quantity, "subtotal": subtotal}],
    }  # fmt: skip


def path_of(hook):
    """The service under test is not at its public address."""
    assert hook.startswith("https://souk.example/hooks/")
    return hook.removeprefix("https://souk.example")


@pytest.fixture
async def shop(house, door):
    await house.hear(campaign(type="ecommerce"))
    opened = (
        await door(
            "staff",
            "POST",
            "/v1/shops",
            {"campaign_id": str(SPRING), "kind": "shopify", "domain": "a.example"},
        )
    ).json()

    async def tell(topic, content, secret=opened["secret"], domain=None):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        digest = b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()
        headers = {
            "x-shopify-topic": topic,
            "x-shopify-hmac-sha256": digest,
            "content-type": "application/json",
        } | ({"x-shopify-shop-domain": domain} if domain else {})
        return await door.client.post(path_of(opened["hook"]), content=body, headers=headers)

    return tell


@pytest.fixture
async def postback(house, door):
    await house.hear(campaign(type="ecommerce"))
    opened = (
        await door(
            "staff",
            "POST",
            "/v1/shops",
            {"campaign_id": str(SPRING), "kind": "postback", "domain": "c.example"},
        )
    ).json()

    async def tell(body=None, **told):
        body = body or json.dumps({"order_id": "C-1", "amount": "20.00", "currency": "USD"} | told).encode()
        signature = hmac.digest(opened["secret"].encode(), body, hashlib.sha256).hex()
        return await door.client.post(
            path_of(opened["hook"]), content=body, headers={"x-souk-signature": f"sha256={signature}"}
        )

    return tell


async def conversions(house):
    return await house.query("SELECT verdict, reason, attribution, lines FROM conversion WHERE version > 0")


async def credit_of_orders(house):
    return await house.query(
        "SELECT order_id, attribution, influencer_id, reason FROM conversion ORDER BY order_id"
    )


async def test_facts_about_an_order_in_any_order_give_the_same_conversion(house, shop):
    results = set()
    for sequence in permutations(("order", "refund", "participation")):
        await house.hear()
        async with house.units.begin() as work:
            for table in ("conversion", "refund", "participation"):
                await work.connection.exec_driver_sql(f"DELETE FROM {table}")
        for fact in sequence:
            if fact == "participation":
                await house.hear(participation(referral_code="Marie10"))
            else:
                told = (
                    ("orders/create", order(code="MARIE10"))
                    if fact == "order"
                    else ("refunds/create", refund())
                )
                assert (await shop(*told)).status_code == 200
        results.add(str(await conversions(house)))

    assert results == {
        (
            "[('qualified', None, 'code', [{'id': '11', 'net': 180000000, 'quantity': 2, 'refunded': 90000000}, "  # noqa: E501
            "{'id': '12', 'net': 50000000, 'quantity': 1, 'refunded': 0}])]"
        )
    }


async def test_an_order_that_never_comes_is_waited_for_for_30_days(house, shop):
    house.now(START)
    await shop("refunds/create", refund())
    await house.tidy(START + 29 * DAY)
    waiting = await house.query("SELECT version FROM conversion JOIN refund ON conversion_id = id")

    await house.tidy(START + 31 * DAY)

    assert waiting == [(0,)]
    assert await house.query("SELECT 1 FROM conversion") == await house.query("SELECT 1 FROM refund") == []


async def test_replayed_webhooks_change_nothing(house, shop):
    await house.hear(participation(referral_code="M"))
    for topic, told in (("orders/create", order(code="m")), ("refunds/create", refund())):
        assert (await shop(topic, told)).json() == {"status": "recorded"}
    await house.published()

    for topic, told in (("orders/paid", order(code="m")), ("refunds/create", refund())):
        assert (await shop(topic, told)).json() == {"status": "unchanged"}

    assert await house.published() == []


async def test_an_older_telling_that_comes_late_changes_nothing(house, shop):
    await house.hear(participation(referral_code="M"))
    first = order(code="m") | {"updated_at": "2017-09-21T10:00:00Z"}
    dearer = first | {"updated_at": "2017-09-21T11:00:00Z"}
    dearer["line_items"] = [line | {"price": "999.00"} for line in first["line_items"]]
    await shop("orders/create", first)
    assert (await shop("orders/updated", first | {"updated_at": "2017-09-21T12:00:00Z"})).json() == {
        "status": "unchanged"
    }

    late = await shop("orders/updated", dearer)

    assert late.json() == {"status": "unchanged"}


@pytest.mark.parametrize(
    ("told", "verdict", "reason"),
    [
        (order(code="m"), "qualified", None),
        (order(code="nobody"), "unqualified", "unknown_code"),
        (order(code="m", at=END), "unqualified", "outside_period"),
        (order(code="m", currency="EUR"), "unqualified", "currency"),
    ],
)
async def test_verdicts_of_orders_by_code(house, shop, told, verdict, reason):
    await house.hear(participation(referral_code="M"))

    await shop("orders/create", told)

    assert [row[:2] for row in await conversions(house)] == [(verdict, reason)]


async def test_a_click_credits_within_the_window_and_an_explicit_code_beats_it(house, shop):
    name = uuid4()
    await house.hear(participation(referral_code="M"), participation(KENJI, referral_code="K"))
    await shop("orders/create", order(1, seen=name, at=START + 2 * HOUR))
    await shop("orders/create", order(2, seen=name, code="K", at=START + 2 * HOUR))
    await shop("orders/create", order(3, seen=name, at=START + 31 * 24 * HOUR))
    before = await house.query("SELECT order_id, attribution FROM conversion ORDER BY order_id")

    await house.hear(click(name=name))

    assert before == [("1", None), ("2", "code"), ("3", None)]
    assert await credit_of_orders(house) == [
        ("1", "click", MARIE, None), ("2", "code", KENJI, None), ("3", "click", MARIE, "out_of_window"),
    ]  # fmt: skip


async def test_an_order_keeps_its_credit_when_its_click_is_kept_no_longer(house, shop):
    name, never = uuid4(), uuid4()
    await house.hear(participation(), click(name=name))
    in_time = order(1, seen=name, at=START + 2 * HOUR)
    for told in (in_time, order(2, seen=name, at=START + 31 * DAY), order(3, seen=never)):
        await shop("orders/create", told)
    credited = await credit_of_orders(house)

    await house.tidy(START + 500 * DAY)
    assert await house.query("SELECT id FROM click") == []
    told_again = await shop("orders/updated", in_time | {"refunds": [refund()]})
    await house.hear(campaign(version=2, type="ecommerce", ends_at=END + DAY))

    assert told_again.json() == {"status": "recorded"}
    assert await credit_of_orders(house) == credited == [
        ("1", "click", MARIE, None), ("2", "click", MARIE, "out_of_window"),
        ("3", None, None, "unknown_code"),
    ]  # fmt: skip
    lines = (await house.query("SELECT lines FROM conversion WHERE order_id = '1'"))[0][0]
    assert [line["refunded"] for line in lines] == [90_000_000, 0]

    await house.hear(participation(version=2, state="withdrawn", withdrawn_at=START + HOUR))

    assert (await credit_of_orders(house))[0] == ("1", "click", MARIE, "wrong_state")


async def test_an_order_with_neither_code_nor_click_is_acknowledged_and_not_recorded(house, shop):
    answer = await shop("orders/create", order())

    assert (answer.status_code, answer.json()) == (200, {"status": "ignored"})
    assert await conversions(house) == []


async def test_a_wrong_signature_and_bad_orders_are_refused_and_change_nothing(house, shop):
    wrong = await shop("orders/create", order(code="m"), secret="another secret")
    no_lines = await shop("orders/create", {"id": 1})
    no_object = await shop("orders/create", [])

    assert (wrong.status_code, wrong.json()["reason"]) == (401, "invalid_signature")
    assert [answer.json()["reason"] for answer in (no_lines, no_object)] == ["invalid", "invalid"]
    assert await conversions(house) == []


async def test_a_webhook_of_another_shop_is_refused_and_changes_nothing(house, shop):
    foreign = await shop("orders/create", order(code="m"), domain="b.example")
    own = await shop("orders/create", order(code="m"), domain="A.example")

    assert (foreign.status_code, foreign.json()["reason"]) == (422, "invalid")
    assert foreign.json()["errors"] == [
        {"pointer": "/header/x-shopify-shop-domain", "detail": "this is the hook of a.example"}
    ]
    assert own.json() == {"status": "recorded"}


async def test_an_order_beyond_ten_million_is_refused_and_nothing_of_it_is_stored(house, shop, postback):
    await house.hear(participation(referral_code="M"))
    dear = order(code="m")
    dear["line_items"] = [{"id": 1, "price": "999999999999.00", "quantity": 1_000_000}]
    in_parts = order(code="m")
    in_parts["line_items"] = [{"id": n, "price": "5000000.00", "quantity": 1} for n in (1, 2)]
    just = json.loads(json.dumps(in_parts))
    in_parts["line_items"][1]["price"] = "5000000.01"

    refused = [
        await shop("orders/create", dear),
        await shop("orders/create", in_parts),
        await postback(code="m", amount="10000000.000001"),
    ]

    assert [(answer.status_code, answer.json()["reason"]) for answer in refused] == [(422, "invalid")] * 3
    assert all("10000000.000000" in answer.json()["errors"][0]["detail"] for answer in refused)
    assert await house.query("SELECT count(*) FROM conversion") == [(0,)]
    assert (await shop("orders/create", just)).json() == {"status": "recorded"}


@pytest.mark.parametrize("name", ["\\ud800", "o\\u0000"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_ids_that_no_column_can_hold_are_refused_and_named(house, shop, postback, name, encoding):
    def told(content):
        return json.dumps(content).replace("HERE", name).encode(encoding)

    line = order()["line_items"][0]
    part = refund()["refund_line_items"][0]
    tellings = {
        "/id": ("orders/create", order("HERE", code="m")),
        "/line_items/0/id": ("orders/create", order(code="m", line_items=[line | {"id": "HERE"}])),
        "/refunds/0/id": ("orders/create", order(code="m", refunds=[refund("HERE")])),
        "/order_id": ("refunds/create", refund() | {"order_id": "HERE"}),
        "/refund_line_items/0/line_item_id": (
            "refunds/create",
            refund() | {"refund_line_items": [part | {"line_item_id": "HERE"}]},
        ),
    }
    answers = {place: await shop(topic, told(content)) for place, (topic, content) in tellings.items()}
    posted = {"order_id": "HERE", "code": "m", "amount": "20.00", "currency": "USD"}
    answers["/order_id of a postback"] = await postback(told(posted))

    for place, answer in answers.items():
        if encoding == "utf-16":
            assert (answer.status_code, answer.json()["reason"]) == (400, "malformed_json"), place
        else:
            assert (answer.status_code, answer.json()["reason"]) == (422, "invalid"), place
            named = place.partition(" ")[0] if "d800" in name else ""
            assert [error["pointer"] for error in answer.json()["errors"]] == [named]
    assert await house.query("SELECT count(*) FROM conversion") == [(0,)]


@pytest.mark.parametrize(
    "when",
    [
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00Z",
        "1999-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "9999-12-31T23:59:59-14:00",
    ],
)
async def test_times_at_the_edge_of_the_calendar_are_refused_and_named(house, shop, postback, when):
    answers = {
        "/created_at": await shop("orders/create", order(code="m") | {"created_at": when}),
        "/updated_at": await shop("orders/create", order(code="m") | {"updated_at": when}),
        "/ordered_at": await postback(code="m", ordered_at=when),
    }
    answers["/updated_at of a postback"] = await postback(code="m", updated_at=when)

    for place, answer in answers.items():
        assert answer.status_code == 422, (place, answer.text)
        assert [each["pointer"] for each in answer.json()["errors"]] == [place.partition(" ")[0]]
    assert await house.query("SELECT count(*) FROM conversion") == [(0,)]


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ({"updated_at": "2017-09-21T10:00:00Z"}, {"updated_at": "2017-09-21T11:00:00Z"}),
        ({"ordered_at": "2017-09-21T10:00:00Z"}, {"updated_at": "2017-09-21T11:00:00Z"}),
        ({}, {"updated_at": "2017-09-21T11:00:00Z"}),
    ],
)
async def test_a_replayed_older_postback_does_not_undo_a_later_one(house, postback, first, later):
    await house.hear(participation(referral_code="M"))
    answers = []
    for told in ({"amount": "20.00"} | first, {"amount": "15.00"} | later, {"amount": "20.00"} | first):
        house.now(house.units.clock.now() + HOUR)
        answers.append((await postback(code="M", **told)).json()["status"])

    assert answers == ["recorded", "recorded", "unchanged"]
    assert [line["net"] for line in (await conversions(house))[0][3]] == [15_000_000]


@pytest.mark.parametrize("when", [{}, {"ordered_at": "2017-09-21T10:00:00Z"}])
async def test_of_postbacks_without_a_time_of_their_own_the_first_amount_stands(house, postback, when):
    await house.hear(participation(referral_code="M"))
    for told in ({"amount": "20.00"}, {"amount": "15.00", "refund": "5.00"}, {"amount": "30.00"}):
        house.now(house.units.clock.now() + HOUR)
        assert (await postback(code="M", **told, **when)).status_code == 200

    assert [(line["net"], line["refunded"]) for line in (await conversions(house))[0][3]] == [
        (20_000_000, 5_000_000)
    ]


async def test_the_hooks_are_described_with_headers_bodies_and_examples_that_are_taken(
    house, door, shop, postback
):
    await house.hear(participation(referral_code="MARIE10"))
    paths = (await door.client.get("/openapi.json")).json()["paths"]
    taken = {}
    for kind, signature, others in (
        ("shopify", "X-Shopify-Hmac-Sha256", {"X-Shopify-Topic": True, "X-Shopify-Shop-Domain": False}),
        ("postback", "X-Souk-Signature", {}),
    ):
        told = paths[f"/hooks/{kind}/{{shop_id}}"]["post"]
        headers = {each["name"]: each for each in told["parameters"] if each["in"] == "header"}
        assert {name: each["required"] for name, each in headers.items()} == {signature: True} | others
        assert "HMAC-SHA256" in headers[signature]["description"]
        assert told["requestBody"]["required"]
        content = told["requestBody"]["content"]["application/json"]
        for name, example in content["examples"].items():
            jsonschema.validate(example["value"], content["schema"])
            body = json.dumps(example["value"]).encode()
            answer = await (postback(body) if kind == "postback" else shop(name, body))
            taken[name] = (answer.status_code, answer.json())
        assert "souk_click" in str(content["schema"])

    assert taken == {
        name: (200, {"status": "recorded"})
        for name in ("orders/create", "refunds/create", "order", "later refund")
    }


@pytest.mark.parametrize("kind", ["shopify", "postback"])
async def test_a_refused_signature_says_which_header_and_algorithm_are_wanted(house, door, kind):
    await house.hear(campaign(type="ecommerce"))
    body = {"campaign_id": str(SPRING), "kind": kind, "domain": "c.example"}
    hook = path_of((await door("staff", "POST", "/v1/shops", body)).json()["hook"])
    header = {"shopify": "X-Shopify-Hmac-Sha256", "postback": "X-Souk-Signature"}[kind]
    form = {"shopify": "base64", "postback": "`sha256=`"}[kind]

    missing = (await door.client.post(hook, json={})).json()
    wrong = (await door.client.post(hook, json={}, headers={header: "sha256=00"})).json()

    assert {missing["reason"], wrong["reason"]} == {"invalid_signature"}
    assert missing["detail"].startswith(f"{header} is missing")
    assert wrong["detail"].startswith(f"{header} does not match the body")
    for told in (missing, wrong):
        assert "HMAC-SHA256" in told["detail"]
        assert form in told["detail"]


async def test_the_description_of_the_postback_says_which_telling_counts(door):
    document = (await door.client.get("/openapi.json")).json()

    description = document["paths"]["/hooks/postback/{shop_id}"]["post"]["description"]
    assert "`updated_at`" in description
    assert "`ordered_at`" in description


async def test_a_shops_secret_is_shown_once_and_stored_sealed_alone(house, door):
    await house.hear(campaign(type="ecommerce"))
    body = {"campaign_id": str(SPRING), "kind": "postback", "domain": "c.example"}
    user = uuid4()

    opened = await door("staff", "POST", "/v1/shops", body, key="k1", user=user)
    again = await door("staff", "POST", "/v1/shops", body, key="k1", user=user)

    stored = await house.query("SELECT t::text, encode(body, 'escape') FROM idempotency_key t")
    assert opened.status_code == 201
    assert opened.json()["secret"] not in str(stored)
    assert (again.status_code, again.json()["reason"]) == (409, "conflict")
    assert again.json()["location"] == opened.headers["location"]
    assert await house.query("SELECT count(*) FROM shop") == [(1,)]


async def test_a_postback_credits_its_click_and_its_refund_is_cumulative(house, door, postback):
    name = uuid4()
    await house.hear(campaign(type="url"), participation())
    await house.hear(click(name=name))
    house.now(START + 3 * HOUR)

    for told in ({}, {"refund": "5.00"}, {"refund": "5.00"}, {"refund": "3.00"}):
        answer = await postback(click_id=str(name), **told)
        assert answer.status_code == 200, answer.text

    assert await conversions(house) == [
        ("qualified", None, "click", [{"id": "order", "net": 20000000, "quantity": 1, "refunded": 5000000}])
    ]
    summary = await door("staff", "GET", f"/v1/conversions/summary?campaign_id={SPRING}")
    assert summary.json()["verdicts"] == {"qualified": 1}


async def test_every_list_shows_a_tenant_its_own_rows_alone(house, door):
    account = await house.connect(MARIE, "UCmarie")
    house.tube.channel("UCmarie")
    house.tube.video("v", "UCmarie", START)
    await house.hear(
        influencer(talent_agency_id=TALENTS), campaign(type="url", track_posts=True, agency_id=AGENCY),
        participation(account_id=account, referral_code="M"),
    )  # fmt: skip
    await house.hear(click())
    await house.poll(START + 9 * HOUR)
    stranger = uuid4()
    post = (await house.query("SELECT id FROM post"))[0][0]
    paths = ["/v1/accounts", "/v1/posts", "/v1/links", f"/v1/clicks?link_id={LINK}", f"/v1/posts/{post}",
             f"/v1/links/{LINK}", f"/v1/accounts/{account}", f"/v1/posts/{post}/snapshots",
             f"/v1/clicks/summary?campaign_id={SPRING}", f"/v1/conversions/summary?campaign_id={SPRING}"]  # fmt: skip  # noqa: E501
    own = [("staff", {}), ("advertiser", {"organisation": BRAND}), ("agency", {"organisation": AGENCY}),
           ("talent-agency", {"organisation": TALENTS}), ("influencer", {"influencer": MARIE})]  # fmt: skip
    foreign = [
        (role, {"influencer" if role == "influencer" else "organisation": stranger}) for role, _ in own[1:]
    ]

    for path in paths:
        for role, who in own:
            answer = await door(role, "GET", path, **who)
            assert answer.status_code == 200, (path, role, answer.text)
            assert answer.json().get("items") != [], (path, role)
        for role, who in foreign:
            answer = await door(role, "GET", path, **who)
            empty = answer.status_code == 404 or answer.json() == {"items": [], "next": None}
            assert empty, (path, role, answer.text)

    body = {"reason": "no"}
    for role, who in foreign[:2]:
        assert (await door(role, "POST", f"/v1/posts/{post}/ineffective", body, **who)).status_code == 404
    for role, who in (*foreign[2:], *own[3:]):
        assert (await door(role, "POST", f"/v1/posts/{post}/ineffective", body, **who)).status_code == 403
    assert await house.query("SELECT status FROM post") == [("effective",)]


async def test_an_agency_keeps_its_campaign_when_the_advertiser_goes_to_another(house, door):
    rival = uuid4()
    for person, channel, of, agency in (
        (MARIE, "UCmarie", SPRING, AGENCY), (KENJI, "UCkenji", AUTUMN, rival),
    ):  # fmt: skip
        house.tube.channel(channel)
        house.tube.video(f"of {channel}", channel, START)
        account = await house.connect(person, channel)
        await house.hear(
            campaign(of, type="url", track_posts=True, agency_id=agency), participation(person, of, account_id=account)  # noqa: E501
        )  # fmt: skip
    await house.hear(organisation(agency_id=rival))
    await house.poll(START + 9 * HOUR)

    for agency, person, own, foreign in (
        (AGENCY, MARIE, SPRING, AUTUMN), (rival, KENJI, AUTUMN, SPRING),
    ):  # fmt: skip
        for path in ("/v1/posts", "/v1/links", "/v1/accounts"):
            items = (await door("agency", "GET", path, organisation=agency)).json()["items"]
            assert [item["influencer_id"] for item in items] == [str(person)], (path, agency)
        for path in ("/v1/clicks/summary", "/v1/conversions/summary"):
            answers = [
                (await door("agency", "GET", f"{path}?campaign_id={name}", organisation=agency)).status_code
                for name in (own, foreign)
            ]
            assert answers == [200, 404], (path, agency)


async def test_accounts_are_connected_by_who_may_and_once(house, door):
    house.tube.channel("UCa", followers=5)
    await house.hear(influencer(KENJI, talent_agency_id=TALENTS))

    async def connect(role, influencer_id, channel="UCa", **who):
        body = {"influencer_id": str(influencer_id), "external_id": channel, "access_token": "ya29.token"}
        return await door(role, "POST", "/v1/accounts", body, **who)

    mine = await connect("influencer", MARIE, influencer=MARIE)
    again = await connect("influencer", MARIE, influencer=MARIE)
    taken = await connect("talent-agency", KENJI, organisation=TALENTS)
    foreign = await connect("talent-agency", MARIE, organisation=TALENTS)
    missing = await connect("influencer", MARIE, "UCnone", influencer=MARIE)
    forbidden = await connect("advertiser", MARIE, organisation=BRAND)

    assert (mine.status_code, mine.json()["followers"], again.json()["version"]) == (201, 5, 1)
    assert [answer.json()["reason"] for answer in (taken, foreign, missing, forbidden)] == [
        "account_taken", "unknown_influencer", "account_not_reached", "forbidden",
    ]  # fmt: skip
    assert b"ya29" not in (await house.query("SELECT token FROM account"))[0][0]
    assert [event for event, _ in await house.published()] == ["account.connected"]


@pytest.mark.parametrize("path", ["/v1/accounts", "/v1/accounts/import"])
async def test_the_platform_is_asked_outside_of_transactions_though_a_key_is_sent(house, door, path):
    house.tube.channel("UCa")
    await house.hear(influencer())
    account = {"influencer_id": str(MARIE), "external_id": "UCa"}
    body = {"items": [account]} if path.endswith("import") else account
    user, held = uuid4(), []

    async def look():
        held.extend(
            await house.query(
                "SELECT query FROM pg_stat_activity"
                " WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
            )
        )

    house.tube.meanwhile = look
    answers = [await door("staff", "POST", path, body, key="k1", user=user) for _ in range(2)]

    assert held == []
    assert [answer.status_code for answer in answers] in ([201, 201], [200, 200])
    assert answers[0].json() == answers[1].json()
    assert await house.query("SELECT version FROM account") == [(1,)]


async def test_an_import_waits_for_an_erasure_and_connects_nothing(house, door):
    await house.hear(influencer())
    body = {"items": [{"influencer_id": str(MARIE), "external_id": house.tube.channel("UCmarie")}]}

    async def waits_or_is_done(importing):
        while not importing.done():
            if await house.query(
                "SELECT 1 FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ):
                return

    async with house.units.begin() as erasing:
        await erasure.erase(
            erasing, await copies.copy_influencers(erasing, [influencer(version=2, erased=True)])
        )
        importing = asyncio.create_task(door("staff", "POST", "/v1/accounts/import", body))
        async with asyncio.timeout(10):
            await waits_or_is_done(importing)
    answer = (await importing).json()

    assert (answer["items"], [each["reason"] for each in answer["refused"]]) == ([], ["unknown_influencer"])
    assert await house.query("SELECT count(*) FROM account") == [(0,)]


async def test_an_import_asks_fifty_channels_a_call_and_names_what_it_refuses(house, door):
    people = [UUID(int=1000 + number) for number in range(60)]
    await house.hear(*(influencer(person) for person in people))
    items = [{"influencer_id": str(person), "platform": "youtube", "external_id": house.tube.channel(f"UC{number}")}  # noqa: E501
             for number, person in enumerate(people)]  # fmt: skip
    items.append({"influencer_id": str(people[0]), "external_id": "UCnone"})

    answer = (await door("staff", "POST", "/v1/accounts/import", {"items": items})).json()

    assert (len(answer["items"]), [each["reason"] for each in answer["refused"]]) == (
        60,
        ["account_not_reached"],
    )
    assert house.tube.calls == ["channels", "channels"]


async def test_a_platform_that_cant_be_connected_is_named_and_not_asked(house, door):
    await house.hear(influencer())
    mine = {"influencer_id": str(MARIE), "external_id": house.tube.channel("UCmarie")}
    other = mine | {"platform": "x"}

    refused = await door("staff", "POST", "/v1/accounts", other | {"platform": "instagram"})
    imported = (await door("staff", "POST", "/v1/accounts/import", {"items": [other, mine]})).json()

    assert (refused.status_code, refused.json()["reason"]) == (422, "platform_not_offered")
    assert refused.json()["errors"] == [{"pointer": "/platform", "detail": "youtube can be connected"}]
    assert [each["platform"] for each in imported["items"]] == ["youtube"]
    assert imported["refused"] == [other | {"reason": "platform_not_offered"}]
    assert house.tube.calls == ["channels"]


async def test_an_import_of_which_nothing_can_be_connected_says_why(house, door):
    await house.hear(influencer())
    items = [
        {"influencer_id": str(MARIE), "external_id": "UCnone"},
        {"influencer_id": str(KENJI), "external_id": house.tube.channel("UCkenji")},
    ]

    answer = await door("staff", "POST", "/v1/accounts/import", {"items": items})

    assert answer.status_code == 200
    assert answer.json()["items"] == []
    assert [each["reason"] for each in answer.json()["refused"]] == [
        "account_not_reached",
        "unknown_influencer",
    ]


async def test_an_erased_person_is_nowhere(house):
    account = await house.connect(MARIE, "UCmarie")
    house.tube.channel("UCmarie")
    house.tube.video("v", "UCmarie", START)
    await house.hear(influencer(), campaign(), participation(account_id=account))
    await house.poll(START + 9 * HOUR)

    await house.hear(influencer(version=2, erased=True))

    told = await house.published()
    assert [event for event, _ in told] == ["account.disconnected", "post.changed"]
    assert "UCmarie" not in str(told)
    assert await house.query("SELECT count(*) FROM content") == [(0,)]
