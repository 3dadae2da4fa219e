"""Verification of access tokens against an issuer's keys (RFC 7519, RFC 8725)."""

import asyncio
import json
import logging
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from souk.chassis.auth import Principal, subject_of
from souk.chassis.problems import Refused, unavailable
from souk.contracts.reasons import Reason

_log = logging.getLogger(__name__)

ALGORITHMS = ("RS256", "ES256")
_PINNABLE = {
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
}
_LEEWAY_SECONDS = 10
_LONGEST_TOKEN = 8192
_FETCH_SECONDS = 5.0
_LARGEST_SET = 256 * 1024
_REFRESH_AT_MOST_EVERY_SECONDS = 10.0
_OLDEST_SECONDS = 600.0
_MOST_SIGNED = 4096


class TokenVerifier:
    """Verifies bearer tokens of one issuer.

    source: URL or path of the JWKS. Keys are fetched on first use, again after ten minutes, and when a
    token names an unknown key, at most once in ten seconds. While the source is away the keys known last
    stay good; only who names none of them waits, for one fetch of 5 s at most. Only signature keys count:
    a key for encryption or of another algorithm is no match.
    That a token is signed by one of the keys stays so: it is worked out once for a token and a set of keys.
    What its claims say is looked at each time.
    Raises ValueError for an algorithm that is symmetric or none.
    """

    def __init__(
        self, source: str, issuer: str, audience: str, algorithms: Sequence[str] = ALGORITHMS
    ) -> None:
        if not set(algorithms) <= _PINNABLE:
            raise ValueError("only asymmetric signature algorithms can be trusted with published keys")
        self._source = source
        self._algorithms = tuple(algorithms)
        self._registry = JWSRegistry(algorithms=self._algorithms)
        self._claims = JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        self._keys: KeySet | None = None
        self._fetched_at = 0.0
        self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()
        self._renewal: asyncio.Task[KeySet] | None = None
        # By the digest, so that no token can be read in the memory of a process that is long done with it.
        self._signed: dict[bytes, dict[str, Any]] = {}

    async def verify(self, token: str) -> Principal:
        """Raises Refused(unauthenticated), or Refused(unavailable) while no keys could be had at all."""
        if len(token) > _LONGEST_TOKEN:
            raise _wrong("the token is too long")
        keys = await self._current()
        try:
            try:
                claims = self._signed_claims(token, keys)
            except InvalidKeyIdError:
                claims = self._signed_claims(token, await self._refreshed(keys))
            self._claims.validate(claims)
            return subject_of(claims)
        except JoseError as error:
            raise _wrong(error.error) from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise _wrong("the token is malformed") from None

    def _signed_claims(self, token: str, keys: KeySet) -> dict[str, Any]:
        digest = sha256(token.encode()).digest()
        known = self._signed.get(digest) if keys is self._keys else None
        if known is None:
            known = jwt.decode(token, keys, registry=self._registry).claims
            if keys is self._keys:
                if len(self._signed) >= _MOST_SIGNED:
                    self._signed.clear()
                self._signed[digest] = known
        return known

    async def _current(self) -> KeySet:
        if self._keys is None:
            return await self._refreshed(None)
        is_old = monotonic() - self._fetched_at > _OLDEST_SECONDS
        if is_old and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.create_task(self._refreshed(self._keys))
        return self._keys

    async def _refreshed(self, known: KeySet | None) -> KeySet:
        async with self._fetching:
            if self._keys is known and monotonic() - self._tried_at > _REFRESH_AT_MOST_EVERY_SECONDS:
                self._tried_at = monotonic()
                try:
                    self._keys = _usable(await self._fetch())
                    self._signed = {}
                    self._fetched_at = monotonic()
                except Exception as error:  # noqa: BLE001  whatever it was, the keys known last stay good
                    _log.warning("keys of the issuer not fetched", extra={"error": repr(error)})
            if self._keys is None:
                raise unavailable("the issuer's keys cannot be had")
            return self._keys

    async def _fetch(self) -> bytes:
        if not self._source.startswith(("http://", "https://")):
            return await asyncio.to_thread(Path(self._source.removeprefix("file://")).read_bytes)
        import httpx

        async with (
            asyncio.timeout(_FETCH_SECONDS),
            httpx.AsyncClient(timeout=_FETCH_SECONDS) as client,
            client.stream("GET", self._source) as response,
        ):
            response.raise_for_status()
            content = b""
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > _LARGEST_SET:
                    raise ValueError("the key set is too large")
            return content


def _usable(content: bytes) -> KeySet:
    """The published signature keys. A symmetric key in the set is ignored: anyone could sign with it."""
    keys = [
        key
        for key in json.loads(content)["keys"]
        if key.get("kty") in ("RSA", "EC", "OKP") and key.get("use", "sig") == "sig"
    ]
    return KeySet.import_key_set({"keys": keys})


def _wrong(why: str) -> Refused:
    return Refused(
        Reason.UNAUTHENTICATED,
        why.replace("_", " "),
        headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
    )
