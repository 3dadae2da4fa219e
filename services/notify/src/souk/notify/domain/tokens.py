"""The token in a one-click unsubscribe link (RFC 8058): whom it is for, signed, nothing else.

It doesn't expire: mail is read years later, and the link must still work.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from uuid import UUID

_PURPOSE = b"souk unsubscribe 1"
_TAG_BYTES = 16
TOKEN_LENGTH = 43
"""Characters of base64url for 16 bytes of id and 16 of tag."""


def sign(secret: bytes, influencer: UUID) -> str:
    return urlsafe_b64encode(influencer.bytes + _tag(secret, influencer.bytes)).rstrip(b"=").decode()


def verify(secret: bytes, token: str) -> UUID | None:
    """The influencer whom `token` was signed for, None when it wasn't by us."""
    if len(token) != TOKEN_LENGTH or not token.isascii():
        return None
    try:
        raw = urlsafe_b64decode(token + "=")
    except (Error, ValueError):
        return None
    # base64 ignores what it doesn't know and the last character's spare bits: one token per influencer.
    if urlsafe_b64encode(raw).rstrip(b"=").decode() != token:
        return None
    subject, tag = raw[:16], raw[16:]
    return UUID(bytes=subject) if hmac.compare_digest(tag, _tag(secret, subject)) else None


def _tag(secret: bytes, subject: bytes) -> bytes:
    return hmac.digest(secret, _PURPOSE + subject, "sha256")[:_TAG_BYTES]
