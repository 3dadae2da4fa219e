"""Kinds of fields that requests and responses share, each with its bounds."""

from datetime import date
from typing import Annotated

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    Field,
    StringConstraints,
    TypeAdapter,
)

from souk.campaign.domain.brief import hashtags_of
from souk.campaign.domain.zones import DEFAULT_ZONES, ZONES
from souk.chassis.amount import Amount
from souk.chassis.percent import Percent
from souk.contracts.currencies import MINOR_UNITS

MOST_URL = 2_000
MOST_RATE = 10**15
"""Micros: a thousand million of the major unit for one view is a slip of the hand."""

_URL = TypeAdapter(AnyHttpUrl)


def _country(code: str) -> str:
    if code not in DEFAULT_ZONES:
        raise ValueError("an ISO 3166-1 alpha-2 code is needed")
    return code


def _zone(name: str) -> str:
    if name not in ZONES:
        raise ValueError("a zone of the IANA time zone database is needed")
    return name


def _currency(code: str) -> str:
    if code not in MINOR_UNITS:
        raise ValueError("an ISO 4217 code is needed")
    return code


def _url(text: str) -> str:
    url = _URL.validate_python(text)
    if url.username or url.password:
        raise ValueError("a URL without user name and password is needed")
    return text


def _hashtag(text: str) -> str:
    if not hashtags_of([text]):
        raise ValueError("a hashtag has at least one character beside # and blanks")
    return text


Text200 = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]
Text10000 = Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Words = Annotated[tuple[Word, ...], Field(max_length=50)]
Country = Annotated[str, StringConstraints(max_length=2), AfterValidator(_country)]
Zone = Annotated[str, StringConstraints(max_length=100), AfterValidator(_zone)]
Currency = Annotated[str, StringConstraints(max_length=3), AfterValidator(_currency)]
Url = Annotated[str, StringConstraints(strip_whitespace=True, max_length=MOST_URL), AfterValidator(_url)]
Urls = Annotated[tuple[Url, ...], Field(max_length=20)]
Hashtags = Annotated[
    tuple[Annotated[str, StringConstraints(max_length=100), AfterValidator(_hashtag)], ...],
    Field(max_length=30),
]
Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2100, 12, 31))]
Age = Annotated[int, Field(ge=0, le=150)]
Followers = Annotated[int, Field(ge=0, le=10_000_000_000)]
Price = Annotated[Amount, Field(ge=0)]
Rate = Annotated[Amount, Field(ge=0, le=MOST_RATE)]
Margin = Annotated[Percent, Field(ge=0, lt=10_000)]
Commission = Annotated[Percent, Field(ge=0, le=10_000)]
