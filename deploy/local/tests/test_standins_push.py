"""The push service as a sender meets it (RFC 8030, 8188, 8291, 8292)."""

import json
import os
import time
from typing import Any
from uuid import uuid4

import httpx
import pytest
from py_vapid import Vapid02
from pywebpush import WebPusher

from souk.notify.channels.webpush import read_key

KEYS = {
    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
}
OUR_KEY: Vapid02 = read_key("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")


def authorization(audience: str, key: Vapid02 = OUR_KEY, **claims: Any) -> str:
    whole = {"aud": audience, "sub": "mailto:a@b.example", "exp": int(time.time()) + 3600, **claims}
    signed: str = key.sign(whole)["Authorization"]
    return signed


def push(url: str, subscription: str, *, body: bytes | None = None, **changes: str | None) -> httpx.Response:
    endpoint = f"{url}/push/{subscription}"
    content = WebPusher({"endpoint": endpoint, "keys": KEYS}).encode(b"{}")["body"] if body is None else body
    headers = {
        "TTL": "60",
        "Content-Encoding": "aes128gcm",
        "Authorization": authorization(url),
        "Topic": "topic",
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}  # type: ignore[misc]
    return httpx.post(
        endpoint,
        content=content,
        headers={name: value for name, value in headers.items() if value is not None},
    )


def test_a_push_is_accepted_and_kept(standins: Any) -> None:
    subscription = uuid4().hex
    before = httpx.get(f"{standins.url}/push/summary").json()["accepted"]

    answer = push(standins.url, subscription)

    assert answer.status_code == 201
    assert answer.headers["location"].startswith(standins.url)
    summary = httpx.get(f"{standins.url}/push/summary").json()
    assert summary["accepted"] == before + 1
    assert (summary["last"][0]["subscription"], summary["last"][0]["ttl"]) == (subscription, 60)
    (kept,) = httpx.get(f"{standins.url}/push/{subscription}").json()["items"]
    assert kept["topic"] == "topic"
    assert len(bytes.fromhex(kept["body"])) == kept["size"] > 100


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"TTL": None}, 400),
        ({"TTL": "soon"}, 400),
        ({"Content_Encoding": "aesgcm"}, 400),
        ({"Content_Encoding": None}, 400),
        ({"body": b"not encrypted"}, 400),
        ({"body": os.urandom(4097)}, 413),
        ({"Topic": "x" * 33}, 400),
        ({"Authorization": None}, 401),
        ({"Authorization": "WebPush abc"}, 401),
        ({"Authorization": "vapid t=a.b.c, k=BA"}, 403),
        ({"Authorization": authorization("https://elsewhere.example")}, 403),
    ],
)
def test_a_push_against_the_protocol_is_refused(standins: Any, changes: dict[str, Any], status: int) -> None:
    before = httpx.get(f"{standins.url}/push/summary").json()["refused"]

    answer = push(standins.url, uuid4().hex, **changes)

    assert answer.status_code == status
    assert httpx.get(f"{standins.url}/push/summary").json()["refused"] == before + 1


def test_a_token_that_has_expired_or_was_signed_by_another_is_refused(standins: Any) -> None:
    expired = authorization(standins.url, exp=int(time.time()) - 5)
    token = authorization(standins.url).partition(",")[0]
    another = authorization(standins.url, read_key("0" * 42 + "E")).partition(",")[2]

    assert push(standins.url, "x", Authorization=expired).status_code == 403
    assert push(standins.url, "x", Authorization=f"{token},{another}").status_code == 403


def test_a_subscription_that_has_ended_is_gone(standins: Any) -> None:
    assert push(standins.url, f"gone-{uuid4().hex}").status_code == 410


@pytest.mark.parametrize(
    "fault",
    [
        {"path_prefix": "/push"},
        {"path_prefix": "/push", "status": 503, "reset": True},
        {"path_prefix": "/faults", "status": 503},
        {"path_prefix": "/push", "status": 200},
        {"path_prefix": "/push", "slow": 0},
        {"path_prefix": "/push", "reset": True, "often": 2},
    ],
)
def test_a_fault_that_makes_no_sense_is_not_switched_on(standins: Any, fault: dict[str, Any]) -> None:
    answer = httpx.post(f"{standins.url}/faults", content=json.dumps(fault))

    assert answer.status_code == 422
    assert httpx.get(f"{standins.url}/faults").json() == {"items": []}


def test_a_fault_is_listed_by_its_number_until_it_has_happened_as_often_as_it_should(standins: Any) -> None:
    fault = {"path_prefix": "/push", "status": 503, "times": 2}
    first, second = (httpx.post(f"{standins.url}/faults", json=fault).json()["id"] for _ in range(2))
    left = []

    for _ in range(3):
        push(standins.url, uuid4().hex)
        left.append(
            {each["id"]: each["times"] for each in httpx.get(f"{standins.url}/faults").json()["items"]}
        )

    assert left == [{first: 1, second: 2}, {second: 2}, {second: 1}]


def test_a_slow_answer_comes_after_its_time_and_once(standins: Any) -> None:
    httpx.post(f"{standins.url}/faults", json={"path_prefix": "/push", "slow": 0.5})

    began = time.monotonic()
    first = push(standins.url, uuid4().hex)
    took = time.monotonic() - began

    assert first.status_code == 201
    assert took >= 0.5
    assert httpx.get(f"{standins.url}/faults").json() == {"items": []}


def test_a_push_whose_answer_breaks_off_was_taken(standins: Any) -> None:
    subscription = uuid4().hex
    httpx.post(f"{standins.url}/faults", json={"path_prefix": "/push", "reset": True})

    with pytest.raises(httpx.RemoteProtocolError):
        push(standins.url, subscription)

    assert len(httpx.get(f"{standins.url}/push/{subscription}").json()["items"]) == 1
