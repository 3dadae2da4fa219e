"""Secrets at rest: sealed with a key that follows from SOUK_TRACKING_SECRET."""

import base64
import hmac
from hashlib import sha256

from cryptography.fernet import Fernet


def derive(secret: str, purpose: str) -> bytes:
    """32 bytes for one purpose; none of them tells another or the secret."""
    return hmac.digest(secret.encode(), purpose.encode(), sha256)


class Seal:
    """Authenticated encryption of short texts (Fernet: AES-128-CBC with HMAC-SHA256)."""

    def __init__(self, secret: str) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(derive(secret, "stored secrets")))

    def close(self, text: str) -> bytes:
        return self._fernet.encrypt(text.encode())

    def open(self, sealed: bytes) -> str:
        """Raises cryptography.fernet.InvalidToken when it was sealed with another secret."""
        return self._fernet.decrypt(sealed).decode()
