"""A browser's push service (RFC 8030): it checks what real ones check and keeps the last messages."""

import base64
import binascii
import re
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Literal
from uuid import uuid4

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

Verdict = Literal["accepted", "gone", "refused"]

LARGEST_BODY = 4096
"""Bytes that a push service must take (RFC 8030 §7.2); it need not take more."""
LONGEST_ID = 200
_KEPT = 5_000
"""Messages. The largest of them together have 20 MB."""
_LONGEST_TOKEN = 24 * 3600
_LONGEST_HEADER = 2048
_VAPID = re.compile(r"vapid\s+(?P<parameters>.+)", re.IGNORECASE)
_PARAMETER = re.compile(r'\s*([tk])="?([\w.=-]+)"?\s*', re.ASCII)
# Salt, record size, length of the key's id, the key, and an empty record with its tag (RFC 8188 §2.1).
_SMALLEST_BODY = 16 + 4 + 1 + 65 + 17
_KEY_LENGTH_AT = 20
_KEY_BYTES = 65


@dataclass(frozen=True, slots=True)
class Message:
    """A push as it came. ttl: seconds; body: encrypted for the browser."""

    id: str
    subscription: str
    received_at: datetime
    ttl: int
    urgency: str
    topic: str
    body: bytes


class PushRefused(Exception):
    """The answer's status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(slots=True)
class PushService:
    counts: dict[Verdict, int] = field(default_factory=lambda: {"accepted": 0, "gone": 0, "refused": 0})
    last: deque[Message] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def take(
        self, subscription: str, headers: Mapping[str, str], body: bytes, origin: str, now: datetime
    ) -> Message:
        """Accept a push to `subscription`, sent to `origin`. Raises PushRefused."""
        try:
            message = _checked(subscription, headers, body, origin, now)
        except PushRefused as refused:
            self.counts["gone" if refused.status == 410 else "refused"] += 1
            raise
        self.counts["accepted"] += 1
        self.last.append(message)
        return message

    def to(self, subscription: str) -> list[Message]:
        """Of the last messages those to `subscription`, newest first."""
        return [message for message in reversed(self.last) if message.subscription == subscription]


def _checked(
    subscription: str, headers: Mapping[str, str], body: bytes, origin: str, now: datetime
) -> Message:
    if subscription.startswith("gone"):
        raise PushRefused(410, "the subscription has ended")
    _check_sender(headers.get("authorization", ""), origin)
    ttl = headers.get("ttl", "")
    if not (ttl.isascii() and ttl.isdecimal() and len(ttl) < 10):
        raise PushRefused(400, "TTL is a number of seconds (RFC 8030 §5.2)")
    if len(body) > LARGEST_BODY:
        raise PushRefused(413, f"a push has at most {LARGEST_BODY} bytes")
    if body:
        if headers.get("content-encoding", "").lower() != "aes128gcm":
            raise PushRefused(400, "Content-Encoding is aes128gcm (RFC 8291 §4)")
        if len(body) < _SMALLEST_BODY or body[_KEY_LENGTH_AT] != _KEY_BYTES:
            raise PushRefused(400, "the body is no encrypted message (RFC 8291 §4)")
    topic = headers.get("topic", "")
    if len(topic) > 32:
        raise PushRefused(400, "Topic has at most 32 characters (RFC 8030 §5.4)")
    return Message(str(uuid4()), subscription, now, int(ttl), headers.get("urgency", "normal"), topic, body)


def _check_sender(authorization: str, origin: str) -> None:
    """RFC 8292: a token that the sender signed for this push service, not long ago."""
    found = _VAPID.fullmatch(authorization)
    if not found or len(authorization) > _LONGEST_HEADER:
        raise PushRefused(401, "Authorization is `vapid t=…, k=…` (RFC 8292 §3)")
    parts = [_PARAMETER.fullmatch(each) for each in found["parameters"].split(",")]
    values = {each[1]: each[2] for each in parts if each}
    claims = _claims(values.get("t", ""), values.get("k", ""))
    if claims is None:
        raise PushRefused(403, "the token is not signed with the key (RFC 8292 §2)")
    until = claims.get("exp")
    if claims.get("aud") != origin or not str(claims.get("sub", "")).startswith(("mailto:", "https:")):
        raise PushRefused(403, f"the token is not for {origin}, or names nobody to turn to (RFC 8292 §2)")
    if not isinstance(until, int) or not 0 < until - time.time() <= _LONGEST_TOKEN:
        raise PushRefused(403, "the token has expired, or lives for more than a day (RFC 8292 §2)")


@lru_cache(maxsize=64)
def _claims(token: str, key: str) -> Mapping[str, object] | None:
    """The claims of a token that `key`, an uncompressed point of P-256, has signed."""
    try:
        point = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4))
        if len(point) != _KEY_BYTES or point[0] != 4:
            return None
        x, y = (base64.urlsafe_b64encode(half).decode().rstrip("=") for half in (point[1:33], point[33:]))
        public = ECKey.import_key({"kty": "EC", "crv": "P-256", "x": x, "y": y})
        return jwt.decode(token, public, algorithms=["ES256"]).claims
    except (JoseError, binascii.Error, ValueError):
        return None
