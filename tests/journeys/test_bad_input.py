"""Bad input is answered with a named problem and changes no row of any service."""

import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from running import Suite, brief

from souk.contracts.topic import SERVICES
from souk.local import tokens
from souk.local.standins import shop

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class World:
    """Two advertisers, each with a draft of their own; a shop of the first one's approved campaign."""

    a: UUID
    b: UUID
    draft_a: str
    draft_b: str
    shop: Json
    influencer: UUID


@pytest.fixture(scope="module")
async def world(suite: Suite) -> World:
    staff = suite.api("staff")
    a, b = await suite.organisation("advertiser"), await suite.organisation("advertiser")
    draft_a = await suite.api("advertiser", organisation=a).post("/v1/campaigns", brief("url"))
    draft_b = await suite.api("advertiser", organisation=b).post("/v1/campaigns", brief("social"))
    selling = await staff.post("/v1/campaigns", brief("ecommerce", advertiser_id=str(a)))
    await staff.post(f"/v1/campaigns/{selling['id']}/approve")
    (person,) = await suite.creators("Maker 1")
    opened = await staff.post(
        "/v1/shops", {"campaign_id": selling["id"], "kind": "shopify", "domain": "a.example"}
    )
    await suite.settle()
    return World(a, b, draft_a["id"], draft_b["id"], opened, person)


def problem(response: httpx.Response, status: int, reason: str) -> Json:
    """The problem, which is one, and the expected one."""
    assert response.headers.get("content-type") == "application/problem+json", response.text
    found: Json = response.json()
    assert (response.status_code, found["reason"]) == (status, reason), found
    assert found["status"] == status
    assert found["type"] == f"urn:souk:problem:{reason}"
    assert found["title"]
    return found


def key() -> dict[str, str]:
    return {"idempotency-key": str(uuid4())}


def forged(suite: Suite, signing: RSAKey | None = None, **claims: Any) -> str:
    signing = signing or tokens.signing_key(suite.folder)
    now = int(time.time())
    base = {"iss": tokens.ISSUER, "aud": tokens.AUDIENCE, "iat": now, "exp": now + 600, "sub": str(uuid4())}
    header = {"alg": tokens.ALGORITHM, "kid": signing.kid}
    base |= {"role": "staff", "org": str(uuid4())}
    return jwt.encode(header, base | claims, signing, algorithms=[tokens.ALGORITHM])


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/v1/campaigns/{}", "unknown_campaign"),
        ("/v1/budgets/{}", "unknown_campaign"),
        ("/v1/selections/{}", "unknown_campaign"),
        ("/v1/participations/{}", "unknown_participation"),
        ("/v1/influencers/{}", "unknown_influencer"),
        ("/v1/posts/{}", "unknown_post"),
        ("/v1/payments/{}", "unknown_payment"),
        ("/v1/shops/{}", "unknown_shop"),
    ],
)
async def test_an_unknown_id_is_named(suite: Suite, path: str, reason: str) -> None:
    response = await suite.send("GET", path.format(uuid4()), suite.token("staff"))

    problem(response, 404, reason)


@pytest.mark.parametrize("act", ["approve", "clone", "stop"])
async def test_an_unknown_campaign_is_not_acted_upon(suite: Suite, world: World, act: str) -> None:
    async with suite.unchanged():
        response = await suite.send(
            "POST", f"/v1/campaigns/{uuid4()}/{act}", suite.token("staff"), headers=key()
        )

    problem(response, 404, "unknown_campaign")


@pytest.mark.parametrize("body", [b"{", b"{'type': 'url'}", b'{"budget": NaN}', b"\xff\xfe", b"[" * 100_000])
async def test_malformed_json_is_refused(suite: Suite, world: World, body: bytes) -> None:
    async with suite.unchanged():
        response = await suite.send(
            "POST",
            "/v1/campaigns",
            suite.token("advertiser", organisation=world.a),
            content=body,
            headers={**key(), "content-type": "application/json"},
        )

    problem(response, 400, "malformed_json")


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"budget": 1000}, "/budget"),
        ({"budget": "0.0000001"}, "/budget"),
        ({"rates": {"click": "-1"}}, "/rates/click"),
        ({"currency": "XXQ"}, "/currency"),
        ({"time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"type": "barter"}, "/type"),
        ({"nonsense": 1}, "/nonsense"),
        ({"title": "a\0b"}, "/title"),
    ],
)
async def test_an_invalid_field_is_pointed_at(suite: Suite, world: World, wrong: Json, pointer: str) -> None:
    async with suite.unchanged():
        response = await suite.send(
            "POST",
            "/v1/campaigns",
            suite.token("advertiser", organisation=world.a),
            json=brief("url") | wrong,
            headers=key(),
        )

    found = problem(response, 422, "invalid")
    assert [error["pointer"] for error in found["errors"]] == [pointer]


@pytest.mark.parametrize(
    "kind", ["missing", "garbage", "expired", "other key", "audience", "issuer", "unsigned"]
)
async def test_a_token_that_is_not_ours_opens_nothing(suite: Suite, world: World, kind: str) -> None:
    published = tokens.signing_key(suite.folder)
    stranger = RSAKey.generate_key(2048, {"kid": published.kid})
    head, claims, _ = forged(suite).split(".")
    token = {
        "missing": None,
        "garbage": "garbage",
        "expired": forged(suite, exp=int(time.time()) - 600),
        "other key": forged(suite, stranger),
        "audience": forged(suite, aud="another"),
        "issuer": forged(suite, iss="https://login.evil.example"),
        "unsigned": f"{head}.{claims}.",
    }[kind]

    async with suite.unchanged():
        read = await suite.send("GET", "/v1/campaigns", token)
        approved = await suite.send("POST", f"/v1/campaigns/{world.draft_a}/approve", token, headers=key())
        behind = await suite.client.get(
            f"{suite.address('campaign')}/v1/campaigns",
            headers={"authorization": f"Bearer {token}"} if token else {},
        )

    problem(read, 401, "unauthenticated")
    problem(approved, 401, "unauthenticated")
    problem(behind, 401, "unauthenticated")


@pytest.mark.parametrize("service", SERVICES)
async def test_every_route_but_hooks_and_unsubscribing_asks_for_a_token(suite: Suite, service: str) -> None:
    at = suite.address(service)
    paths = (await suite.client.get(f"{at}/openapi.json")).json()["paths"]
    asked = {
        (method, path): await suite.client.request(method, at + re.sub(r"{\w+}", str(UUID(int=1)), path))
        for path, operations in paths.items()
        for method in operations
    }

    open_to_all = {(method, path) for (method, path), answer in asked.items() if answer.status_code != 401}
    unsecured = {(method, path) for method, path in asked if "security" not in paths[path][method]}
    assert len(asked) > 5
    assert {path.split("/")[1] for _, path in unsecured} <= {"hooks", "unsubscribe"}
    assert open_to_all <= unsecured


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/campaigns/{}", None),
        ("GET", "/v1/campaigns/{}/status", None),
        ("PATCH", "/v1/campaigns/{}", {"title": "Mine now"}),
        ("POST", "/v1/campaigns/{}/approve", {}),
        ("POST", "/v1/campaigns/{}/clone", {}),
        ("POST", "/v1/campaigns/{}/stop", {}),
        ("GET", "/v1/budgets/{}", None),
        ("GET", "/v1/referral-codes?campaign_id={}", None),
        ("GET", "/v1/clicks/summary?campaign_id={}", None),
        ("POST", "/v1/posts/approve", {"campaign_id": "{}"}),
        ("POST", "/v1/shops", {"campaign_id": "{}", "kind": "shopify", "domain": "b.example"}),
    ],
)
async def test_another_tenants_campaign_is_an_unknown_one(
    suite: Suite, world: World, method: str, path: str, body: Json | None
) -> None:
    token = suite.token("advertiser", organisation=world.a)

    async def asked_for(campaign: str) -> httpx.Response:
        filled = {name: value.replace("{}", campaign) for name, value in (body or {}).items()}
        return await suite.send(
            method,
            path.format(campaign),
            token,
            headers={**key(), "if-match": '"1"'},
            **({} if body is None else {"json": filled}),
        )

    async with suite.unchanged():
        theirs = await asked_for(world.draft_b)
        nobodys = await asked_for(str(uuid4()))

    hidden = problem(theirs, 404, "unknown_campaign")
    unknown = problem(nobodys, 404, "unknown_campaign")
    assert {**hidden, "instance": ""} == {**unknown, "instance": ""}


async def test_only_staff_approve(suite: Suite, world: World) -> None:
    async with suite.unchanged():
        response = await suite.send(
            "POST",
            f"/v1/campaigns/{world.draft_a}/approve",
            suite.token("advertiser", organisation=world.a),
            headers=key(),
        )

    problem(response, 403, "forbidden")


async def test_another_tenants_campaigns_are_not_listed(suite: Suite, world: World) -> None:
    listed = [
        each["id"] async for each in suite.api("advertiser", organisation=world.a).pages("/v1/campaigns")
    ]

    assert world.draft_a in listed
    assert world.draft_b not in listed


@pytest.mark.parametrize("broken", ["signature", "body", "missing"])
async def test_a_wrong_signature_records_no_order(suite: Suite, world: World, broken: str) -> None:
    order = shop.order(1, datetime(2018, 1, 12, tzinfo=UTC), [shop.Item(1, Decimal(10))], code="MAKER1")
    webhook = shop.sign("orders/create", order, world.shop["secret"], "1", "a.example")
    headers, body = dict(webhook.headers), webhook.body
    match broken:
        case "signature":
            headers["x-shopify-hmac-sha256"] = shop.sign("orders/create", order, "other", "1", "").headers[
                "x-shopify-hmac-sha256"
            ]
        case "body":
            body = body.replace(b'"10"', b'"99"')
            assert body != webhook.body
        case "missing":
            del headers["x-shopify-hmac-sha256"]

    async with suite.unchanged():
        response = await suite.client.post(world.shop["hook"], content=body, headers=headers)

    problem(response, 401, "invalid_signature")


async def test_an_unknown_shop_is_named(suite: Suite, world: World) -> None:
    async with suite.unchanged():
        response = await suite.client.post(f"/hooks/shopify/{uuid4()}", json={})

    problem(response, 404, "unknown_shop")


@pytest.mark.parametrize("stated", [True, False])
async def test_a_body_over_a_mebibyte_is_refused(suite: Suite, world: World, stated: bool) -> None:
    body = json.dumps(brief("url", product_information="x" * (1 << 20))).encode()

    async def in_parts() -> Any:
        for start in range(0, len(body), 1 << 16):
            yield body[start : start + (1 << 16)]

    async with suite.unchanged():
        response = await suite.send(
            "POST",
            "/v1/campaigns",
            suite.token("advertiser", organisation=world.a),
            content=body if stated else in_parts(),
            headers={**key(), "content-type": "application/json"},
        )

    problem(response, 413, "too_large")


async def test_headers_beyond_the_gateways_limit_are_named(suite: Suite) -> None:
    response = await suite.send(
        "GET", "/v1/campaigns", suite.token("staff"), headers={"x-long": "x" * 40_000}
    )

    problem(response, 431, "too_large")


@pytest.mark.parametrize(
    "path", ["/v1/unheard-of", "/v1/campaigns/x/y/z", "/", "/internal/pulse", "/metrics", "/health/ready"]
)
async def test_an_unknown_route_is_named(suite: Suite, path: str) -> None:
    problem(await suite.send("GET", path, suite.token("staff")), 404, "not_found")


async def test_another_method_is_named(suite: Suite) -> None:
    response = await suite.send("DELETE", "/v1/campaigns", suite.token("staff"))

    problem(response, 405, "method_not_allowed")


async def test_another_media_type_is_named(suite: Suite, world: World) -> None:
    token = suite.token("advertiser", organisation=world.a)

    async with suite.unchanged():
        response = await suite.send("POST", "/v1/campaigns", token, data={"type": "url"}, headers=key())

    problem(response, 415, "unsupported_media_type")


async def test_drafting_needs_an_idempotency_key(suite: Suite, world: World) -> None:
    token = suite.token("advertiser", organisation=world.a)

    async with suite.unchanged():
        response = await suite.send("POST", "/v1/campaigns", token, json=brief("url"))

    problem(response, 400, "idempotency_key_required")


async def test_an_idempotency_key_belongs_to_one_request(suite: Suite, world: World) -> None:
    token, headers = suite.token("advertiser", organisation=world.a), key()
    first = await suite.send("POST", "/v1/campaigns", token, json=brief("url"), headers=headers)
    assert first.status_code == 201
    await suite.settle()

    async with suite.unchanged():
        other = await suite.send(
            "POST", "/v1/campaigns", token, json=brief("url", budget="2000"), headers=headers
        )
        again = await suite.send("POST", "/v1/campaigns", token, json=brief("url"), headers=headers)

    problem(other, 422, "idempotency_key_reused")
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    ("condition", "status", "reason"),
    [({"if-match": '"0"'}, 412, "version_mismatch"), ({}, 428, "if_match_required")],
)
async def test_an_edit_of_what_was_not_read_is_refused(
    suite: Suite, world: World, condition: dict[str, str], status: int, reason: str
) -> None:
    async with suite.unchanged():
        response = await suite.send(
            "PATCH",
            f"/v1/campaigns/{world.draft_a}",
            suite.token("advertiser", organisation=world.a),
            json={"title": "Later"},
            headers=condition,
        )

    problem(response, status, reason)


@pytest.mark.parametrize(
    "path", ["/v1/campaigns", "/v1/influencers", "/v1/posts", "/v1/earnings", "/v1/deliveries"]
)
@pytest.mark.parametrize("cursor", ["nonsense", "e30", "%00"])
async def test_a_malformed_cursor_is_named(suite: Suite, path: str, cursor: str) -> None:
    response = await suite.send("GET", f"{path}?cursor={cursor}", suite.token("staff"))

    reason, status = ("invalid", 422) if cursor == "%00" else ("invalid_cursor", 400)
    problem(response, status, reason)


async def test_an_incomplete_approval_names_everything_that_is_missing(suite: Suite, world: World) -> None:
    staff = suite.api("staff")
    empty = await staff.post("/v1/campaigns", {"type": "social", "advertiser_id": str(world.a)})
    await suite.settle()

    async with suite.unchanged():
        response = await suite.send(
            "POST", f"/v1/campaigns/{empty['id']}/approve", suite.token("staff"), headers=key()
        )

    found = problem(response, 422, "incomplete_campaign")
    assert {error["pointer"] for error in found["errors"]} == {
        *("/title", "/country", "/start_date", "/end_date", "/currency", "/budget"),
        *("/audience/platforms", "/hashtags", "/rates"),
    }


async def test_n_codes_admit_n_influencers_and_the_next_is_told_why(suite: Suite, world: World) -> None:
    staff = suite.api("staff")
    campaign = await staff.post("/v1/campaigns", brief("referral", advertiser_id=str(world.a)))
    await suite.settle()
    await staff.post("/v1/referral-codes", {"campaign_id": campaign["id"], "codes": ["ONE", "TWO"]})
    await staff.post(f"/v1/campaigns/{campaign['id']}/approve")
    people = await suite.creators("Maker 2", "Maker 3", "Maker 4")

    async def join(person: UUID) -> httpx.Response:
        return await suite.send(
            "POST",
            "/v1/participations",
            suite.token("influencer", influencer=person),
            json={"campaign_id": campaign["id"]},
            headers=key(),
        )

    joined = [await join(person) for person in people[:2]]
    assert [each.json().get("referral_code") for each in joined] == ["ONE", "TWO"], joined[0].text
    await suite.settle()
    async with suite.unchanged("influencer.decision"):
        refused = await join(people[2])

    problem(refused, 409, "no_codes_left")
    again = await join(people[0])
    assert again.json()["referral_code"] == "ONE"
