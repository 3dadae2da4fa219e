"""The API over a real socket: an influencer's notices, the staff's deliveries, one-click unsubscribe."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args
from uuid import UUID, uuid4

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from souk.chassis.http import application
from souk.chassis.jwks import TokenVerifier
from souk.chassis.server import served
from souk.contracts.permissions import Level, Role
from souk.contracts.topics.users import User
from souk.notify.api import deliveries, notifications
from souk.notify.api.unsubscribe import unsubscribe_routes
from souk.notify.domain.tokens import sign
from souk.notify.store import copies

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
    participation,
    payment,
    post,
)

SECRET = b"of the tests alone"
KEY = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)


@dataclass
class Api:
    """The service over HTTP, as whoever asks."""

    http: httpx.AsyncClient

    async def ask(
        self,
        method: str,
        path: str,
        role: str = "staff",
        subject: UUID | None = None,
        organisation: UUID | None = None,
        **send: Any,
    ) -> Any:
        claims: dict[str, Any] = {
            "iss": "urn:souk:issuer",
            "aud": "souk",
            "iat": int(time.time()),
            "exp": int(time.time()) + 60,
            "sub": str(subject or uuid4()),
            "role": role,
        }
        if role != "influencer":
            claims["org"] = str(organisation or uuid4())
        token = jwt.encode({"alg": "RS256", "kid": KEY.kid}, claims, KEY, algorithms=["RS256"])
        return await self.http.request(method, path, headers={"Authorization": f"Bearer {token}"}, **send)

    async def notices(self, of: UUID = MARIE, **query: Any) -> Any:
        return await self.ask("GET", "/v1/notifications", "influencer", of, params=query)


@pytest.fixture
async def api(house: House, tmp_path: Path) -> AsyncIterator[Api]:
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps(KeySet([KEY]).as_dict(private=False)))
    app = application(
        "notify",
        routers=[notifications.routes, deliveries.routes, unsubscribe_routes(SECRET)],
        units=house.units,
        verifier=TokenVerifier(str(jwks), "urn:souk:issuer", "souk"),
        permissions_of=copies.levels_of,
    )
    async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=10) as http:
        yield Api(http)


@pytest.fixture
async def told(house: House) -> House:
    """Marie was told of a start, a payment and a post; Kenji of the start."""
    await house.hear(contact(locale="th"), contact(KENJI), campaign())
    await house.told(announcement({MARIE: [SPRING], KENJI: [SPRING]}), payment())
    await house.told(post(status="approved", approved_at=START))
    return house


async def test_an_influencer_reads_his_own_notices_newest_first_in_his_language(
    api: Api, told: House
) -> None:
    answer = await api.notices()

    items = answer.json()["items"]
    assert {item["kind"] for item in items} == {"campaign.started", "payment.made", "post.approved"}
    assert answer.headers["content-language"] == "th"
    assert "Spring เริ่มแล้ว" in {item["title"] for item in items}
    assert {item["about"] for item in items} == {"campaigns", "payments"}
    keys = [(item["made_at"], item["id"]) for item in items]
    assert keys == sorted(keys, reverse=True)


async def test_the_language_can_be_asked_for(api: Api, told: House) -> None:
    answer = await api.notices(locale="ja")

    assert "「Spring」が始まりました" in {item["title"] for item in answer.json()["items"]}
    assert (await api.notices(locale="fr")).json()["reason"] == "invalid"


async def test_pages_of_notices_join_without_gap_or_repeat(api: Api, told: House) -> None:
    whole = [item["id"] for item in (await api.notices()).json()["items"]]

    first = (await api.notices(limit=2)).json()
    second = (await api.notices(limit=2, cursor=first["next"])).json()

    assert [item["id"] for item in first["items"] + second["items"]] == whole
    assert second["next"] is None


async def test_reading_a_notice_keeps_the_first_time(api: Api, told: House) -> None:
    one = (await api.notices()).json()["items"][0]["id"]

    first = await api.ask("POST", f"/v1/notifications/{one}/read", "influencer", MARIE)
    told.advance(START - START.replace(hour=0))
    second = await api.ask("POST", f"/v1/notifications/{one}/read", "influencer", MARIE)

    assert first.json()["read_at"] == second.json()["read_at"] is not None
    assert [item["id"] for item in (await api.notices(read=True)).json()["items"]] == [one]
    assert len((await api.notices(read=False)).json()["items"]) == 2


async def test_reading_all_says_how_many_became_read(api: Api, told: House) -> None:
    once = await api.ask("POST", "/v1/notifications/read-all", "influencer", MARIE)
    twice = await api.ask("POST", "/v1/notifications/read-all", "influencer", MARIE)

    assert (once.json(), twice.json()) == ({"read": 3}, {"read": 0})
    assert len((await api.notices(KENJI, read=False)).json()["items"]) == 1


async def test_another_ones_notice_is_as_unknown_as_none(api: Api, told: House) -> None:
    marie = (await api.notices()).json()["items"][0]["id"]

    for foreign in (marie, uuid4()):
        answer = await api.ask("POST", f"/v1/notifications/{foreign}/read", "influencer", KENJI)
        assert (answer.status_code, answer.json()["reason"]) == (404, "unknown_notification")
    assert (await api.notices(read=True)).json()["items"] == []


async def test_what_was_held_back_is_not_shown(api: Api, house: House) -> None:
    await house.told(contact(notifications="off"), payment())

    assert (await api.notices()).json()["items"] == []


async def test_staff_find_deliveries_by_every_filter(api: Api, told: House) -> None:
    async def found(**query: Any) -> int:
        return len((await api.ask("GET", "/v1/deliveries", params=query)).json()["items"])

    assert await found() == 8
    assert await found(influencer_id=KENJI) == 3
    assert await found(campaign_id=SPRING) == 7
    assert await found(campaign_id=AUTUMN) == 0
    assert await found(kind="payment.made") == 1
    assert await found(channel="in_app") == 4
    assert await found(channel="push", status="suppressed") == 2
    assert (await api.ask("GET", "/v1/deliveries", params={"kind": "x"})).status_code == 422


async def test_the_summary_counts_by_channel_and_status(api: Api, told: House) -> None:
    whole = (await api.ask("GET", "/v1/deliveries/summary")).json()
    kenjis = (await api.ask("GET", "/v1/deliveries/summary", params={"influencer_id": KENJI})).json()

    assert whole == {"email": {"suppressed": 2}, "push": {"suppressed": 2}, "in_app": {"sent": 4}}
    assert kenjis == {"email": {"suppressed": 1}, "push": {"suppressed": 1}, "in_app": {"sent": 1}}


ROUTES = [
    ("GET", "/v1/notifications"),
    ("POST", "/v1/notifications/read-all"),
    ("POST", f"/v1/notifications/{uuid4()}/read"),
    ("GET", "/v1/deliveries"),
    ("GET", "/v1/deliveries/summary"),
]
OPEN_TO = {"/v1/notifications": "influencer", "/v1/deliveries": "staff"}


async def test_every_route_is_open_to_its_role_alone_and_shows_only_its_own_rows(
    api: Api, told: House
) -> None:
    for (method, path), role in product(ROUTES, get_args(Role)):
        answer = await api.ask(method, path, role)

        if role == next(its for prefix, its in OPEN_TO.items() if path.startswith(prefix)):
            # Whoever asks as an influencer is a new one: none of the rows is his.
            own = answer.json().get("items", []) == [] and answer.json().get("read", 0) == 0
            assert answer.status_code in (200, 404), (role, method, path)
            assert role == "staff" or own, (method, path)
        else:
            assert (answer.status_code, answer.json()["reason"]) == (403, "forbidden"), (role, method, path)


async def test_no_route_answers_without_a_token(api: Api) -> None:
    for method, path in ROUTES:
        assert (await api.http.request(method, path)).json()["reason"] == "unauthenticated", path


async def test_a_users_own_level_overrides_the_matrix_in_their_organisation_alone(
    api: Api, house: House
) -> None:
    user, left, home = uuid4(), uuid4(), uuid4()
    await house.hear(
        User(id=user, version=1, changed_at=START, organisation_id=home, levels={"notification": Level.NONE}),
        User(id=left, version=1, changed_at=START, organisation_id=home, levels={}, active=False),
    )

    for one in (user, left):
        assert (await api.ask("GET", "/v1/deliveries", "staff", one, home)).json()["reason"] == "forbidden"
        assert (await api.ask("GET", "/v1/deliveries", "staff", one)).status_code == 200
    assert (await api.ask("GET", "/v1/deliveries", "staff", organisation=home)).status_code == 200


async def test_one_click_turns_notices_off_and_following_the_link_does_not(api: Api, house: House) -> None:
    await house.hear(contact(), campaign())
    url = f"/unsubscribe/{sign(SECRET, MARIE)}"

    page = await api.http.get(url, headers={"Accept-Language": "ja"})
    await house.hear(participation(applied_at=START))
    posts = [await api.http.post(url, data={"List-Unsubscribe": "One-Click"}) for _ in range(2)]
    await house.hear(payment())

    assert page.status_code == 200
    assert "配信を停止する" in page.text
    assert [answer.status_code for answer in posts] == [200, 200]
    assert [row[3:] for row in await house.deliveries()] == [("sent", None), ("suppressed", "unsubscribed")]


@pytest.mark.parametrize("token", [sign(b"another secret!!", MARIE), "x" * 43])
async def test_a_token_that_is_not_ours_turns_nothing_off(api: Api, house: House, token: str) -> None:
    answers = [await api.http.request(method, f"/unsubscribe/{token}") for method in ("GET", "POST")]

    assert {answer.json()["reason"] for answer in answers} == {"invalid_signature"}
    assert await house.query("SELECT 1 FROM suppression") == []
    assert (await api.http.post("/unsubscribe/short")).status_code == 422
