"""Web pushes: encrypted for the browser (RFC 8291), signed by us (RFC 8292), sent by HTTP (RFC 8030)."""

import asyncio
import json
import logging
import socket
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Set
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
from py_vapid import Vapid02
from pywebpush import WebPusher

from souk.contracts.reasons import Locale
from souk.contracts.topics.deliveries import Channel
from souk.notify.channels.outlet import SENT, Outcome
from souk.notify.channels.texts import compose
from souk.notify.domain.endpoints import Endpoint, is_public, read_endpoint
from souk.notify.store.copies import Facts

_TTL_SECONDS = 86_400
_TOKEN_SECONDS = 12 * 3600
_TIMEOUT = httpx.Timeout(10, connect=5)
_RESOLVE_SECONDS = 5
_MOST_ORIGINS = 1_000
_MOST_CHARACTERS = 300
_MOST_SUBSCRIPTIONS = 10
_KEY_BYTES = 32
_GONE = (404, 410)
_BUSY = 429

logger = logging.getLogger(__name__)


def read_key(text: str) -> Vapid02:
    """A P-256 private key as PEM, as base64url of its 32 bytes, or a file that holds one.

    Raises ValueError when it is none of these; its text doesn't hold the key.
    """
    try:
        if "BEGIN" in text:
            return Vapid02.from_pem(text.encode())
        if text.startswith(("/", ".")):
            return read_key(Path(text).read_text().strip())
        if len(urlsafe_b64decode(text + "=" * (-len(text) % 4))) != _KEY_BYTES:
            raise ValueError("not 32 bytes")
        return Vapid02.from_raw(text.encode())
    except Exception as error:  # noqa: BLE001  the library raises what its parsers happen to
        raise ValueError(f"SOUK_PUSH_VAPID_KEY is no P-256 private key ({type(error).__name__})") from None


class PushOutlet:
    """subject: how a push service reaches us, `mailto:` or https. trusted: origins besides public https."""

    channel: Channel = "push"
    width = 16

    def __init__(self, key: Vapid02, subject: str, trusted: Set[str]) -> None:
        self._key = key
        self._subject = subject
        self._trusted = trusted
        self._signed: dict[str, tuple[float, str]] = {}
        self._client = httpx.AsyncClient(
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=self.width * 2, max_keepalive_connections=self.width),
            follow_redirects=False,
            trust_env=False,
        )

    async def send(self, row: Any, facts: Facts) -> Outcome:
        """To every subscription of the influencer; sent when one push service took it."""
        text = compose(row, facts, cast("Locale", row.locale))
        payload = json.dumps(
            {
                "id": str(row.id),
                "kind": row.kind,
                "title": text.title[:_MOST_CHARACTERS],
                "body": text.body[:_MOST_CHARACTERS],
            },
            ensure_ascii=False,
        ).encode()
        topic = urlsafe_b64encode(row.id.bytes).rstrip(b"=").decode()
        outcomes = [await self._push(one, payload, topic) for one in row.push[:_MOST_SUBSCRIPTIONS]]
        return _together(outcomes)

    async def close(self) -> None:
        await self._client.aclose()

    async def _push(self, subscription: dict[str, str], payload: bytes, topic: str) -> Outcome:
        url = subscription["endpoint"]
        endpoint = read_endpoint(url, self._trusted)
        if endpoint is None:
            return Outcome("failed", "endpoint_refused", unusable=(("gone", url),))
        address = endpoint.host
        if not endpoint.trusted:
            try:
                address = await _public_address(endpoint)
            except OSError:
                return Outcome("again", "unresolved")
            except ValueError:
                return Outcome("failed", "endpoint_refused", unusable=(("gone", url),))
        try:
            keys = {"p256dh": subscription["p256dh"], "auth": subscription["auth"]}
            body = WebPusher({"endpoint": url, "keys": keys}).encode(payload)["body"]
        except Exception:  # noqa: BLE001  whatever the library makes of keys that a client sent
            return Outcome("failed", "bad_keys", unusable=(("gone", url),))
        return await self._post(endpoint, address, body, topic)

    async def _post(self, endpoint: Endpoint, address: str, body: bytes, topic: str) -> Outcome:
        url = httpx.URL(endpoint.url)
        request = self._client.build_request(
            "POST",
            # The address that was looked at, not the name: what it means may change in between.
            url.copy_with(host=address),
            content=body,
            headers={
                "Host": url.netloc.decode("ascii"),
                "Authorization": self._authorization(endpoint.origin),
                "TTL": str(_TTL_SECONDS),
                "Content-Encoding": "aes128gcm",
                "Content-Type": "application/octet-stream",
                "Urgency": "normal",
                "Topic": topic,
            },
            extensions={"sni_hostname": endpoint.host},
        )
        try:
            response = await self._client.send(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            return Outcome("again", "unreachable")
        except httpx.HTTPError as error:
            return Outcome("unknown", type(error).__name__)
        if response.is_success:
            return SENT
        status = response.status_code
        if status in _GONE:
            return Outcome("failed", f"refused_{status}", unusable=(("gone", endpoint.url),))
        if status == _BUSY or status >= 500:
            return Outcome("again", f"refused_{status}", wait=_retry_after(response))
        return Outcome("failed", f"refused_{status}")

    def _authorization(self, origin: str) -> str:
        now = time.time()
        until, header = self._signed.get(origin, (0.0, ""))
        if until <= now:
            if len(self._signed) >= _MOST_ORIGINS:
                self._signed.clear()
            claims = {"aud": origin, "sub": self._subject, "exp": int(now) + _TOKEN_SECONDS}
            header = self._key.sign(claims)["Authorization"]
            self._signed[origin] = (now + _TOKEN_SECONDS / 2, header)
        return header


async def _public_address(endpoint: Endpoint) -> str:
    """An address of the endpoint's host. Raises OSError when it has none now, ValueError when it has one of
    a private network."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_RESOLVE_SECONDS):
        found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not all(is_public(address) for address in addresses):
        raise ValueError("a push endpoint inside a private network")
    return addresses[0]


def _retry_after(response: httpx.Response) -> timedelta | None:
    seconds = response.headers.get("retry-after", "")
    return timedelta(seconds=min(int(seconds), 86_400)) if seconds.isascii() and seconds.isdigit() else None


def _together(outcomes: list[Outcome]) -> Outcome:
    """One outcome of several subscriptions: the best of them, so that nobody is told twice."""
    unusable = tuple(one for outcome in outcomes for one in outcome.unusable)
    for result in ("sent", "unknown", "again", "failed"):
        for outcome in outcomes:
            if outcome.result == result:
                return Outcome(outcome.result, outcome.detail, outcome.wait, unusable)
    return Outcome("failed", "no_subscription")
