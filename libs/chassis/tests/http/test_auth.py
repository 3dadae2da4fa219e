"""Only a token that is right in every respect opens a door, and only the doors of its role."""

import asyncio
import json
import time
from contextlib import suppress
from types import SimpleNamespace
from uuid import UUID

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from souk.chassis.jwks import TokenVerifier
from souk.chassis.problems import Refused
from souk.chassis.server import served
from souk.contracts.permissions import Level

ISSUER = "https://issuer.test"


async def _get(api, authorization):
    headers = {"Authorization": authorization} if authorization else {}
    async with httpx.AsyncClient(base_url=api.url) as client:
        return await client.get("/v1/things", headers=headers)


async def test_missing_token_is_challenged_without_an_error(api):
    answer = await _get(api, None)

    assert (answer.status_code, answer.json()["reason"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("query", "body", "headers"),
    [
        ("?colour=red", b"", {}),
        ("?name=%00", b"", {}),
        ("", b"{not json", {"content-type": "application/json"}),
        ("", b"<a/>", {"content-type": "text/xml"}),
        ("", b"{}", {"content-type": "application/json"}),
        ("", b"{}", {"content-type": "application/json", "idempotency-key": "x" * 300}),
    ],
    ids=["unknown query", "nul", "no json", "media type", "invalid body", "invalid key"],
)
async def test_without_a_token_nothing_else_is_looked_at(api, query, body, headers):
    async with httpx.AsyncClient(base_url=api.url) as anyone:
        answer = await anyone.post(f"/v1/things{query}", content=body, headers=headers)

    assert (answer.status_code, answer.json()["reason"]) == (401, "unauthenticated")


async def test_what_was_not_read_of_a_refused_body_is_no_request(api):
    """On a connection that is kept the rest of the body comes after the answer."""
    reader, writer = await asyncio.open_connection(*api.url.removeprefix("http://").split(":"))
    inner = b"GET /v1/things HTTP/1.1\r\nhost: x\r\n\r\n"
    head = f"POST /v1/things HTTP/1.1\r\nhost: x\r\ncontent-length: {len(inner)}\r\n\r\n"
    writer.write(head.encode())
    first = await reader.readuntil(b"\r\n\r\n")

    left = b""
    with suppress(ConnectionError):
        writer.write(inner)
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        left = await reader.read()
    writer.close()

    assert first.startswith(b"HTTP/1.1 401 ")
    answers = [line for line in left.splitlines() if line.startswith(b"HTTP/1.1 ")]
    assert answers in ([], [b"HTTP/1.1 200 OK"])


WRONG_CLAIMS = [
    {"exp": 1_500_000_000},
    {"exp": None},
    {"exp": "soon"},
    {"nbf": 5_000_000_000},
    {"iss": "https://other.test"},
    {"iss": None},
    {"aud": "other"},
    {"aud": None},
    {"sub": None},
    {"sub": "no-uuid"},
    {"role": "root"},
    {"role": None},
    {"role": ["staff"]},
    {"org": None},
    {"org": "no-uuid"},
]


@pytest.mark.parametrize("claims", WRONG_CLAIMS, ids=str)
async def test_wrong_claims_are_an_invalid_token(api, claims):
    answer = await _get(api, f"Bearer {api.issuer.token(**claims)}")

    assert (answer.status_code, answer.json()["reason"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "é", "x" * 9000, "Bearer Bearer"])
async def test_text_that_is_no_token_is_an_invalid_token(api, token):
    answer = await _get(api, f"Bearer {token}".encode())

    assert answer.status_code == 401


async def test_audience_may_be_one_of_several(api):
    answer = await _get(api, f"Bearer {api.issuer.token(aud=['other', 'souk'])}")

    assert answer.status_code == 200


async def test_algorithms_are_pinned(api, rsa_key):
    """`none`, HMAC with the public key as its secret, and RSA variants that were not chosen."""
    public = json.dumps(rsa_key.as_dict(private=False))
    hmac = OctKey.import_key(public, {"kid": "first"})
    unsigned = api.issuer.token().split(".")
    none = "eyJhbGciOiJub25lIn0." + unsigned[1] + "."

    for token in (
        none,
        api.issuer.token(hmac, {"alg": "HS256"}),
        api.issuer.token(rsa_key, {"alg": "RS512"}),
        api.issuer.token(rsa_key, {"alg": "PS256"}),
    ):
        assert (await _get(api, f"Bearer {token}")).status_code == 401


@pytest.mark.parametrize("algorithm", ["HS256", "none"])
def test_untrustworthy_algorithm_cannot_be_configured(algorithm):
    with pytest.raises(ValueError, match="asymmetric"):
        TokenVerifier("x", ISSUER, "souk", algorithms=[algorithm])


async def test_key_of_another_use_or_type_verifies_nothing(issuer, rsa_key):
    encryption = RSAKey.generate_key(2048, {"kid": "enc"})
    issuer.publish(rsa_key, RSAKey.import_key(encryption.as_dict(private=False), {"use": "enc"}))
    shared = OctKey.generate_key(256, {"kid": "oct"})
    published = json.loads(issuer.jwks.read_text())
    published["keys"].append(shared.as_dict(private=True))
    issuer.jwks.write_text(json.dumps(published))
    verifier = TokenVerifier(str(issuer.jwks), ISSUER, "souk")

    for token in (issuer.token(encryption), issuer.token(shared, {"alg": "HS256"})):
        with pytest.raises(Refused):
            await verifier.verify(token)


async def test_elliptic_keys_are_accepted(issuer):
    key = ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"})
    issuer.publish(key)

    who = await TokenVerifier(str(issuer.jwks), ISSUER, "souk").verify(issuer.token(key, {"alg": "ES256"}))

    assert (who.role, who.user_id, who.organisation_id) == ("staff", UUID(int=1), UUID(int=2))


async def test_influencer_is_their_own_subject(issuer):
    verifier = TokenVerifier(str(issuer.jwks), ISSUER, "souk")

    who = await verifier.verify(issuer.token(role="influencer", org=None))

    assert (who.influencer_id, who.organisation_id) == (UUID(int=1), None)


async def test_keys_are_fetched_over_http_once_and_again_for_an_unknown_key(issuer, rsa_key, monkeypatch):
    fetched = []

    async def endpoint(scope, receive, send):
        fetched.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": issuer.jwks.read_bytes()})

    second = RSAKey.generate_key(2048, {"kid": "second", "use": "sig"})
    async with served(endpoint) as url:
        verifier = TokenVerifier(f"{url}/jwks", ISSUER, "souk")
        await asyncio.gather(*(verifier.verify(issuer.token()) for _ in range(5)))
        once = len(fetched)
        issuer.publish(rsa_key, second)
        for _ in range(5):
            with pytest.raises(Refused):
                await verifier.verify(issuer.token(second))
        limited = len(fetched)
        monkeypatch.setattr("souk.chassis.jwks._REFRESH_AT_MOST_EVERY_SECONDS", 0.0)
        await verifier.verify(issuer.token(second))

    await verifier.verify(issuer.token(second))
    assert (once, limited, len(fetched)) == (1, 1, 2)


async def test_nobody_waits_while_known_keys_are_fetched_again(issuer, rsa_key, monkeypatch):
    asked, answers = asyncio.Queue(), asyncio.Event()
    answers.set()

    async def endpoint(scope, receive, send):
        asked.put_nowait(scope["path"])
        await answers.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": issuer.jwks.read_bytes()})

    second = RSAKey.generate_key(2048, {"kid": "second", "use": "sig"})
    async with served(endpoint) as url:
        verifier = TokenVerifier(f"{url}/jwks", ISSUER, "souk")
        await verifier.verify(issuer.token())
        await asked.get()
        answers.clear()
        issuer.publish(rsa_key, second)
        monkeypatch.setattr("souk.chassis.jwks._OLDEST_SECONDS", 0.0)
        monkeypatch.setattr("souk.chassis.jwks._REFRESH_AT_MOST_EVERY_SECONDS", 0.0)
        async with asyncio.timeout(2):
            for _ in range(5):
                await verifier.verify(issuer.token(rsa_key))
            await asked.get()
            await verifier.verify(issuer.token(rsa_key))
        answers.set()
        await verifier.verify(issuer.token(second))

    assert asked.empty(), "one fetch for all of them"


async def test_a_token_that_was_right_ends_with_its_time(issuer, monkeypatch):
    verifier, token = TokenVerifier(str(issuer.jwks), ISSUER, "souk"), issuer.token()
    await verifier.verify(token)

    later = time.time() + 3600
    monkeypatch.setattr("joserfc._rfc7519.claims.time", SimpleNamespace(time=lambda: later))

    with pytest.raises(Refused, match="expired"):
        await verifier.verify(token)


async def test_a_token_that_was_right_ends_with_its_key(issuer, monkeypatch):
    verifier, token = TokenVerifier(str(issuer.jwks), ISSUER, "souk"), issuer.token()
    await verifier.verify(token)
    second = RSAKey.generate_key(2048, {"kid": "second", "use": "sig"})
    issuer.publish(second)
    monkeypatch.setattr("souk.chassis.jwks._REFRESH_AT_MOST_EVERY_SECONDS", 0.0)
    await verifier.verify(issuer.token(second))

    with pytest.raises(Refused):
        await verifier.verify(token)


async def test_issuer_that_was_never_reached_is_unavailable_not_wrong(tmp_path):
    verifier = TokenVerifier(str(tmp_path / "none.json"), ISSUER, "souk")

    with pytest.raises(Refused) as refused:
        await verifier.verify("a.b.c")

    assert refused.value.reason == "unavailable"


@pytest.mark.parametrize(("role", "status"), [("staff", 201), ("advertiser", 201), ("influencer", 403)])
async def test_matrix_decides_by_role(api, role, status):
    token = api.issuer.token(role=role)

    answer = await api.post({"name": "a"}, "k1", Authorization=f"Bearer {token}")

    assert answer.status_code == status


@pytest.mark.parametrize(("level", "status"), [(Level.VIEW, 403), (Level.MANAGE, 201)])
async def test_own_level_overrides_the_matrix(api, level, status):
    api.levels["campaign"] = level

    answer = await api.post({"name": "a"}, "k1")

    assert answer.status_code == status
