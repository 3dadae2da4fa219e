"""A POST that is sent again has its effect once (draft-ietf-httpapi-idempotency-key-header).

The key lives in the business transaction: it is inserted first, so that a concurrent request with the
same key waits on the row, and it commits together with the effect and the response. A refusal rolls the
key back with everything else, so a retry may succeed later.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import Header, Request, Response
from sqlalchemy import bindparam, delete, func, select, text, true, update
from sqlalchemy.dialects.postgresql import insert

from souk.chassis.prepared import Prepared
from souk.chassis.problems import FieldError, Refused
from souk.chassis.tables import idempotency_key
from souk.chassis.work import Work
from souk.contracts.reasons import Reason

HEADER = "Idempotency-Key"
KEPT_HOURS = 24
_KEPT_HEADERS = ("content-type", "location", "etag")
_LONGEST_KEY = 255
_WAIT = "10s"

_where = (
    idempotency_key.c.principal == bindparam("principal"),
    idempotency_key.c.route == bindparam("route"),
    idempotency_key.c.key == bindparam("key"),
)
_new = ("principal", "route", "key", "fingerprint")
# The bound on the wait holds for the whole unit: one statement says both.
_INSERT = Prepared(
    insert(idempotency_key)
    .from_select(
        _new,
        select(*(bindparam(name, type_=idempotency_key.c[name].type) for name in _new)).select_from(
            func.set_config("lock_timeout", _WAIT, true())
        ),
    )
    .on_conflict_do_nothing()
    .returning(idempotency_key.c.key)
)
_ANSWER = Prepared(
    update(idempotency_key)
    .where(*_where)
    .values({name: bindparam(f"new_{name}") for name in ("status", "headers", "body")})
)


async def required(
    idempotency_key: Annotated[
        str | None,
        Header(description="unique to this request; the same key and body give the same response for 24 h"),
    ] = None,
) -> None:
    """Dependency of routes that are declared `idempotent=True`."""
    if idempotency_key is None:
        raise Refused(Reason.IDEMPOTENCY_KEY_REQUIRED)


async def secret(request: Request) -> None:
    """Marks routes that are declared `shown_once=True`: what they answer is not stored."""
    request.state.shown_once = True


async def needless() -> None:
    """Marks routes that are declared `repeatable=True`: a key that is sent is not looked at."""


def key_of(request: Request) -> str | None:
    """The request's key, quoted (as the draft writes it) or bare.

    Raises Refused(invalid) unless it is 1 … 255 printable ASCII characters.
    """
    header = request.headers.get(HEADER)
    if header is None:
        return None
    key = header[1:-1] if len(header) > 1 and header[0] == header[-1] == '"' else header
    if not (0 < len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable()):
        detail = f"1 to {_LONGEST_KEY} printable ASCII characters"
        raise Refused(Reason.INVALID, errors=[FieldError(pointer=f"/header/{HEADER}", detail=detail)])
    return key


async def once(
    work: Work, request: Request, principal: str, key: str, answer: Callable[[], Awaitable[Response]]
) -> Response:
    """The stored response of this key, or `answer()`, stored whatever its status: it commits with its effect.

    A refusal is raised, so it has no effect and stores nothing. Of a route that is shown once no body is
    stored: sent again it raises Refused(conflict), with the `location` of what was made.
    Keys are scoped by principal and by method and path. Raises Refused(idempotency_key_reused) when the
    key came with another request.
    """
    where = {"principal": principal, "route": f"{request.method} {request.url.path}", "key": key}
    fingerprint = await _fingerprint(request)
    first = await work.run(_INSERT, {**where, "fingerprint": fingerprint})
    if not first:
        return await _replay(work, where, fingerprint)
    response = await answer()
    headers = {name: value for name in _KEPT_HEADERS if (value := response.headers.get(name)) is not None}
    body = None if getattr(request.state, "shown_once", False) else bytes(response.body)
    answered = {"new_status": response.status_code, "new_headers": headers, "new_body": body}
    await work.run(_ANSWER, where | answered)
    return response


async def _replay(work: Work, where: dict[str, str], fingerprint: bytes) -> Response:
    stored = await work.fetch_one(select(idempotency_key).filter_by(**where))
    if stored is None or stored.status is None:
        raise Refused(
            Reason.CONFLICT, "the key was cleaned up while this request waited for it; send it again"
        )
    if stored.fingerprint != fingerprint:
        raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)
    if stored.body is None:
        raise Refused(
            Reason.CONFLICT,
            "this was done, and what it answered is shown once",
            location=stored.headers.get("location"),
        )
    return Response(stored.body, stored.status, {**stored.headers, "Idempotency-Replayed": "true"})


async def _fingerprint(request: Request) -> bytes:
    digest = hashlib.sha256()
    for part in (request.url.query.encode(), await request.body()):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


async def remove_expired(work: Work, limit: int = 1000) -> int:
    """Delete at most `limit` keys older than 24 h of wall time, the oldest first; how many it were."""
    old = (
        select(idempotency_key.c.principal, idempotency_key.c.route, idempotency_key.c.key)
        .where(idempotency_key.c.created_at < func.now() - text(f"interval '{KEPT_HOURS} hours'"))
        .order_by(idempotency_key.c.created_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    table = idempotency_key
    result = await work.execute(
        delete(table).where(
            table.c.principal == old.c.principal, table.c.route == old.c.route, table.c.key == old.c.key
        )
    )
    return int(result.rowcount)


async def forget(work: Work, person: UUID) -> None:
    """Blank the stored responses that were given to `person` or name them; their keys stay used.

    Part of erasure (domain.md §9.5).
    """
    table = idempotency_key
    await work.execute(
        update(table)
        .where(
            (table.c.principal == str(person)) | (func.position(text("CAST(:person AS bytea) IN body")) > 0)
        )
        .values(body=b"", headers={}),
        {"person": str(person).encode()},
    )
