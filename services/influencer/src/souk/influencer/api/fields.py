"""Kinds of fields that requests and responses share, each with its bounds."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
)

from souk.chassis import percent


def _https(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.password:
        raise ValueError("a URL without user name and password is needed")
    return text


def _once(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Categories = Annotated[tuple[Word, ...], Field(max_length=3), AfterValidator(_once)]
Tags = Annotated[tuple[Word, ...], Field(max_length=15), AfterValidator(_once)]
Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, max_length=254, pattern=r"^[^@\s<>,;\"]+@[^@\s<>,;\"]+\.[^@\s<>,;\".]+$"
    ),
]
Url = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1_000), AfterValidator(_https)]
Secret = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{3,40}$")]
Percent = Annotated[percent.Percent, Field(ge=0, le=10_000)]
Bound = Annotated[int, Field(ge=0, le=10**15)]
Ratio = Annotated[int, Field(ge=0, le=2**31 - 1)]
Age = Annotated[int, Field(ge=0, le=200)]


def masked(secret: str | None) -> str | None:
    """What is shown of a secret: its last four characters when there are more than eight of them."""
    if secret is None:
        return None
    return f"****{secret[-4:]}" if len(secret) > 8 else "****"
