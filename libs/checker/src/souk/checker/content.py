"""Contents as digests: what a state and a row say of the same field is equal when the digests are."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from hashlib import blake2b
from typing import Any

from pydantic import BaseModel

from souk.contracts.state import State

SIZE = 8
"""Bytes of a digest."""

_IDENTITY = frozenset({"id", "version"})


def fields_of(state: type[State]) -> tuple[str, ...]:
    """The fields that make up a state's content, in order."""
    return tuple(name for name in state.model_fields if name not in _IDENTITY)


def digests(state: State) -> bytes:
    """One digest for each of `fields_of`, in their order."""
    return b"".join(digest(getattr(state, name)) for name in fields_of(type(state)))


def by_field(state: type[State], packed: bytes) -> Mapping[str, bytes]:
    """What `digests` gave, by field."""
    return {name: packed[place * SIZE : (place + 1) * SIZE] for place, name in enumerate(fields_of(state))}


def digest(value: Any) -> bytes:
    """Of a field's value, from a state or from a column."""
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=SIZE).digest()


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            plain: Any = value.astimezone(UTC).isoformat()
        case date():
            plain = value.isoformat()
        case BaseModel():
            plain = value.model_dump(mode="json")
        case dict():
            plain = {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            plain = [_plain(each) for each in value]
        case None | bool() | int() | str():
            plain = value
        case _:
            plain = str(value)
    return plain


NOTHING = digest(None)
