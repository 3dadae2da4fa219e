"""Pages by keyset: stable under inserts, equally fast on every page, opaque to the caller.

A cursor holds the sort keys of the last row and a tag of the list (path and filters) it came from, so
that a cursor of another list is refused instead of silently skipping rows. It grants nothing: the
tenant filter is in the query, so a signature would protect nothing.
"""

import binascii
import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query, Request
from pydantic import BaseModel, TypeAdapter, ValidationError
from sqlalchemy import BigInteger, ColumnElement, Integer, Select, SmallInteger, literal, tuple_
from sqlalchemy.types import TypeEngine

from souk.chassis.problems import Refused
from souk.contracts.reasons import Reason

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
_MAX_CURSOR = 1000
_SURROGATE = re.compile("[\ud800-\udfff]")
# In every time zone they are days of the calendar.
_FIRST_INSTANT, _LAST_INSTANT = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)


class Page(BaseModel, Generic[T]):
    """`next` is the cursor of the following page, null on the last one."""

    items: list[T]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the caller stands in a list. keys: sort keys of the last row read, None at the start."""

    limit: int
    keys: tuple[Any, ...] | None
    tag: str

    def over(
        self, statement: Select[Any], *columns: ColumnElement[Any], descending: bool = False
    ) -> Select[Any]:
        """`statement` ordered by `columns`, from after the last row read, one row more than a page.

        The columns are not null, the last one (an id) makes them unique, and one index holds them in
        this order. Raises Refused(invalid_cursor) when the keys don't fit the columns.
        """
        if self.keys is not None:
            after = tuple_(*(literal(k, c.type) for k, c in zip(self._typed(columns), columns, strict=True)))
            row = tuple_(*columns)
            statement = statement.where(row < after if descending else row > after)
        order = [column.desc() if descending else column for column in columns]
        return statement.order_by(*order).limit(self.limit + 1)

    def page(self, rows: Sequence[R], item: Callable[[R], T], keys: Callable[[R], Sequence[Any]]) -> Page[T]:
        """The page of what `over` fetched; `keys` gives a row's sort keys in the order of the columns."""
        shown = rows[: self.limit]
        more = len(rows) > self.limit
        return Page(items=[item(row) for row in shown], next=self._encode(keys(shown[-1])) if more else None)

    def _typed(self, columns: Sequence[ColumnElement[Any]]) -> list[Any]:
        keys = self.keys or ()
        if len(keys) != len(columns):
            raise Refused(Reason.INVALID_CURSOR)
        try:
            typed = [
                TypeAdapter(column.type.python_type).validate_python(key)
                for key, column in zip(keys, columns, strict=True)
            ]
        except ValidationError:
            raise Refused(Reason.INVALID_CURSOR) from None
        if not all(_storable(key, column.type) for key, column in zip(typed, columns, strict=True)):
            raise Refused(Reason.INVALID_CURSOR)
        return typed

    def _encode(self, keys: Sequence[Any]) -> str:
        plain = TypeAdapter(list[Any]).dump_python(list(keys), mode="json")
        return urlsafe_b64encode(json.dumps([self.tag, *plain]).encode()).rstrip(b"=").decode()


def _storable(key: Any, kind: TypeEngine[Any]) -> bool:
    """Whether a column of this type could hold `key`; else PostgreSQL's refusal would look like our fault."""
    if isinstance(key, str):
        return "\0" not in key and not _SURROGATE.search(key)
    if isinstance(key, datetime):
        return key.tzinfo is not None and _FIRST_INSTANT <= key <= _LAST_INSTANT
    if isinstance(kind, Integer):
        bits = 63 if isinstance(kind, BigInteger) else 15 if isinstance(kind, SmallInteger) else 31
        return bool(-(2**bits) <= key < 2**bits)
    return True


async def _cursor(
    request: Request,
    cursor: Annotated[
        str | None, Query(description="`next` of the previous page", max_length=_MAX_CURSOR)
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
) -> Cursor:
    tag = _tag(request)
    return Cursor(limit, None if cursor is None else _decode(cursor, tag), tag)


def _tag(request: Request) -> str:
    filters = sorted((k, v) for k, v in request.query_params.multi_items() if k not in ("cursor", "limit"))
    return hashlib.sha256(json.dumps([request.url.path, filters]).encode()).hexdigest()[:12]


def _decode(text: str, tag: str) -> tuple[Any, ...]:
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        found, *keys = json.loads(urlsafe_b64decode(padded))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise Refused(Reason.INVALID_CURSOR) from None
    if found != tag or not all(type(key) in (str, int, float) for key in keys):
        raise Refused(Reason.INVALID_CURSOR)
    return tuple(keys)


CursorDep = Annotated[Cursor, Depends(_cursor)]
"""Query parameters `cursor` and `limit` (1 … 200, default 50)."""
