"""Development tokens: signed with a key of the data folder, whose public half is its JWKS.

Any OIDC issuer takes their place by SOUK_OIDC_ISSUER, SOUK_OIDC_AUDIENCE and SOUK_OIDC_JWKS.
"""

import json
import time
from functools import lru_cache
from typing import get_args
from uuid import UUID, uuid5

from joserfc import jwt
from joserfc.jwk import RSAKey

from souk.contracts.permissions import Role
from souk.local.errors import StackError
from souk.local.folder import Folder, write_private

ALGORITHM = "RS256"
ISSUER = "urn:souk:issuer"
AUDIENCE = "souk"
ROLES: tuple[Role, ...] = get_args(Role)
LONGEST_SECONDS = 30 * 86_400
_NAMESPACE = UUID("2a9d1c57-6a0b-5f63-9a55-7f1f0f5b9a10")


def signing_key(folder: Folder) -> RSAKey:
    """The folder's key, made with its JWKS on first use."""
    if folder.signing_key.exists():
        return _key(folder.signing_key.read_text())
    key = RSAKey.generate_key(2048, {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
    folder.jwks.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    write_private(folder.signing_key, json.dumps(key.as_dict(private=True)))
    return key


@lru_cache(maxsize=8)
def _key(text: str) -> RSAKey:
    """Kept, because checking that a private key is one takes 40 ms."""
    return RSAKey.import_key(json.loads(text))


def token(
    folder: Folder,
    role: Role,
    *,
    user: UUID | None = None,
    organisation: UUID | None = None,
    influencer: UUID | None = None,
    expires_in: int = 3600,
) -> str:
    """Sign a token for one of the roles.

    Unset ids are the same ones at each call: a user, and for all but influencers an organisation, per role.
    expires_in: seconds, at most 30 days. Raises StackError for ids that the role can't have.
    """
    if role == "influencer" and organisation:
        raise StackError("An influencer belongs to no organisation: leave out --organisation.")
    if role != "influencer" and influencer:
        raise StackError(f"Only influencers have an influencer id: use --user for {role}.")
    if not 0 < expires_in <= LONGEST_SECONDS:
        raise StackError(f"--expires-in must be from 1 to {LONGEST_SECONDS} seconds.")
    now = int(time.time())
    subject = (influencer or user) if role == "influencer" else user
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + expires_in,
        "sub": str(subject or uuid5(_NAMESPACE, f"user:{role}")),
        "role": role,
    }
    if role != "influencer":
        claims["org"] = str(organisation or uuid5(_NAMESPACE, f"organisation:{role}"))
    key = signing_key(folder)
    return jwt.encode(
        {"alg": ALGORITHM, "kid": key.kid, "typ": "at+jwt"}, claims, key, algorithms=[ALGORITHM]
    )
