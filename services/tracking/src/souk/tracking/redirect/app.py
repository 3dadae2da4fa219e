"""The redirect: raw ASGI, answers made ready beforehand, one wait for the disk (domain.md §5)."""

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Any
from uuid import UUID

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from souk.chassis.clock import Clock, from_micros
from souk.tracking.metrics import REDIRECTS
from souk.tracking.redirect.spool import KEYED_VERSION, Spool, encode
from souk.tracking.redirect.targets import Target, Targets
from souk.tracking.redirect.visitors import Visitors, client_address, is_bot

Scope = Mapping[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Probe = Callable[[], Awaitable[dict[str, Any]]]

_PREFIX = b"/r/"
_NO_STORE = (b"cache-control", b"no-store")
_LENGTH_0 = (b"content-length", b"0")
_HOST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")
_LONGEST_HOST = 253
_ANSWERED = {status: REDIRECTS.labels(str(status)) for status in (302, 404, 405, 503)}


class Redirect:
    """ASGI application. pulse: what `/internal/pulse` answers; ready: a sentence why not, or None."""

    def __init__(
        self,
        targets: Targets,
        spool: Spool,
        visitors: Visitors,
        clock: Clock,
        *,
        trusted_hops: int,
        pulse: Probe,
        ready: Callable[[], str | None],
    ) -> None:
        self._targets = targets
        self._spool = spool
        self._visitors = visitors
        self._clock = clock
        self._hops = trusted_hops
        self._pulse = pulse
        self._ready = ready
        self._second = (-1, "")

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        if path.startswith(_PREFIX):
            status = await self._lead(scope, path[len(_PREFIX) :].partition(b"?")[0], send)
            _ANSWERED[status].inc()
        elif path == b"/health/live":
            await _answer(send, 200, {"status": "ok"})
        elif path == b"/health/ready":
            why = self._ready()
            await _answer(send, 503 if why else 200, {"status": why or "ok"})
        elif path == b"/metrics":
            await _send(send, 200, generate_latest(), CONTENT_TYPE_LATEST.encode())
        elif path == b"/internal/pulse":
            await _answer(send, 200, await self._pulse())
        else:
            await _answer(send, 404, _problem("not_found", "Nothing is here", 404))

    async def _lead(self, scope: Scope, slug: bytes, send: Send) -> int:
        """Answer; the status."""
        target = self._targets.by_slug.get(slug)
        method = scope["method"]
        if method not in ("GET", "HEAD"):
            problem = _problem("method_not_allowed", "This method is not offered here", 405)
            return await _answer(send, 405, problem)
        if target is None and self._targets.loaded:
            return await _answer(send, 404, _problem("unknown_link", "There is no such link", 404))
        if target is None:
            return await _unavailable(send)
        if method == "HEAD":
            return await _found(send, target.plain)
        number, frame, keyed = self._click(scope, target)
        try:
            await self._spool.append(frame, keyed)
        except OSError:
            return await _unavailable(send)
        return await _found(send, target.before + number + target.after)

    def _click(self, scope: Scope, target: Target) -> tuple[bytes, bytes, bytes | None]:
        """The id of a new click, as text, what goes to the spool, and the id if it may be asked for again.

        That is the same for requests that a client sends again under one Idempotency-Key.
        """
        micros = self._clock.micros()
        agent = forwarded = referrer = b""
        machine, keyed = False, None
        number = _new_id(micros)
        for name, value in scope["headers"]:
            if name == b"idempotency-key" and 8 <= len(value) <= 255:
                digest = sha256(target.link_id.bytes + value).digest()
                named = UUID(bytes=digest[:16], version=KEYED_VERSION)
                number, keyed = named.int, named.bytes
            elif name == b"user-agent":
                agent = value
            elif name == b"x-forwarded-for":
                forwarded = forwarded + b"," + value if forwarded else value
            elif name == b"referer":
                referrer = value
            elif name in (b"purpose", b"sec-purpose") and b"prefetch" in value.lower():
                machine = True  # nobody has clicked yet
        peer = scope.get("client") or ("", 0)
        address = client_address(forwarded, str(peer[0]).encode(), self._hops)
        host = _host_of(referrer)
        digits = f"{number:032x}"
        click = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        value = (
            f'{{"id":"{click}","version":1,"changed_at":"{self._time(micros)}",{target.fields},'
            f'"visitor":"{self._visitors.hash_of(micros, address, agent)}",'
            f'"agent":"{"bot" if machine or is_bot(agent) else "browser"}",'
            f'"referrer":{f"{chr(34)}{host}{chr(34)}" if host else "null"}}}'
        )
        frame = encode(target.partition, number.to_bytes(16, "big"), value.encode())
        return click.encode(), frame, keyed

    def _time(self, micros: int) -> str:
        second, rest = divmod(micros, 1_000_000)
        if self._second[0] != second:
            self._second = (second, from_micros(second * 1_000_000).strftime("%Y-%m-%dT%H:%M:%S"))
        return f"{self._second[1]}.{rest:06d}Z"


def _new_id(micros: int) -> int:
    """UUID version 7, as a number."""
    random = int.from_bytes(os.urandom(10), "big")
    high = micros // 1000 << 16 | 0x7000 | random >> 68
    return high << 64 | 1 << 63 | random & (1 << 62) - 1


def _host_of(referrer: bytes) -> str:
    """The host of a Referer, empty when it is no plain one: it goes into JSON as it is."""
    if not referrer:
        return ""
    host = referrer.partition(b"://")[2].partition(b"/")[0].rpartition(b"@")[2].partition(b":")[0]
    text = host.decode("latin-1").lower()
    return text if text and len(text) <= _LONGEST_HOST and _HOST.issuperset(text) else ""


async def _found(send: Send, location: bytes) -> int:
    await send(
        {
            "type": "http.response.start",
            "status": 302,
            "headers": [(b"location", location), _NO_STORE, _LENGTH_0],
        }
    )
    await send({"type": "http.response.body", "body": b""})
    return 302


async def _unavailable(send: Send) -> int:
    problem = _problem("unavailable", "Not available for the moment", 503)
    return await _answer(send, 503, problem, (b"retry-after", b"1"))


async def _answer(send: Send, status: int, body: dict[str, Any], *more: tuple[bytes, bytes]) -> int:
    kind = b"application/problem+json" if "reason" in body else b"application/json"
    return await _send(send, status, json.dumps(body).encode(), kind, *more)


async def _send(send: Send, status: int, data: bytes, kind: bytes, *more: tuple[bytes, bytes]) -> int:
    headers = [(b"content-type", kind), (b"content-length", str(len(data)).encode()), _NO_STORE, *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})
    return status


def _problem(reason: str, title: str, status: int) -> dict[str, Any]:
    return {"type": f"urn:souk:problem:{reason}", "title": title, "status": status, "reason": reason}
