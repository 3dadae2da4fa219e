"""Percentages at HTTP edges: decimal strings outside, basis points inside."""

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from souk.contracts.money import BasisPoints

_PERCENT = re.compile(r"(\d{1,3})(?:\.(\d{1,2}))?", re.ASCII)


def _parse(value: object) -> BasisPoints:
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a percentage is a decimal string with at most two places")
    whole, fraction = match.groups()
    return BasisPoints(int(whole) * 100 + int((fraction or "").ljust(2, "0")))


def _format(points: int) -> str:
    return f"{points // 100}.{points % 100:02d}"


Percent = Annotated[
    BasisPoints,
    BeforeValidator(_parse),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,3}(\.\d{1,2})?$", "examples": ["12.50"]}),
]
"""In request models: "12.5" is 1 250 basis points; finer ones and JSON numbers are refused. Bounds, such as
`Annotated[Percent, Field(le=10_000)]`, are in basis points."""

ShownPercent = Annotated[
    BasisPoints,
    PlainSerializer(_format, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["12.50"]}),
]
"""In response models: basis points of 0 and above are given, and written with two places."""
