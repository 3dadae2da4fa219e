"""Golden samples: states made from a shape alone, the same ones at every run.

They are what consumers test themselves with, so amounts agree with each other as the rules say
(worth = revenue + capped + refused, net = gross - withholding + consumption tax - fee, consumed within
the budget).
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid5
from zlib import crc32

from souk.contracts.ids import NAMESPACE
from souk.contracts.schema import Schema

_START = datetime(2017, 9, 14, tzinfo=UTC)

_BY_NAME: Mapping[str, Any] = {
    "version": 3,
    "currency": "USD",
    "country": "US",
    "time_zone": "America/New_York",
    "start_date": "2017-09-20",
    "end_date": "2017-10-15",
    "budget": 1_000_000_000_000,
    "budget_version": 1,
    "consumed": 149_253_731_344,
    "cap": 2_500_000_000,
    "worth": 3_000_000_000,
    "revenue": 2_500_000_000,
    "capped": 400_000_000,
    "refused": 100_000_000,
    "approved": 2_000_000_000,
    "gross": 2_500_000_000,
    "withholding": 255_250_000,
    "consumption_tax": 250_000_000,
    "fee": 440_000,
    "net": 2_494_310_000,
    "refunded": 0,
    "margin": 3_300,
    "agency_margin": 1_000,
    "age_min": 18,
    "age_max": 34,
    "followers_min": 1_000,
    "followers_max": 1_000_000,
    "part": 1,
    "parts": 2,
    "email": "creator@example.com",
    "url": "https://example.com/content",
    "landing_url": "https://example.com/shop",
    "endpoint": "https://push.example.com/subscription",
}


def samples_of(shape: Schema) -> dict[str, Any]:
    """Samples by name: `minimal` has the required fields alone; `full-1` … have every field, and
    together every value of every enumeration."""
    made = {"minimal": _Maker(shape, 0, full=False).make(shape, "")}
    for turn in range(_longest_enumeration(shape)):
        made[f"full-{turn + 1}"] = _Maker(shape, turn, full=True).make(shape, "")
    return made


class _Maker:
    """Makes one sample. turn: which value of each enumeration it takes."""

    def __init__(self, shape: Schema, turn: int, *, full: bool) -> None:
        self._defs: Mapping[str, Schema] = shape.get("$defs", {})
        self._turn = turn
        self._full = full

    def make(self, node: Schema, path: str) -> Any:
        node = self._resolved(node)
        if "enum" in node:
            return node["enum"][self._turn % len(node["enum"])]
        if "const" in node:
            return node["const"]
        if "anyOf" in node:
            return self._either(node["anyOf"], path)
        return getattr(self, f"_{node['type']}")(node, path)

    def _resolved(self, node: Schema) -> Schema:
        while "$ref" in node:
            node = self._defs[node["$ref"].rpartition("/")[2]]
        return node

    def _either(self, options: list[Schema], path: str) -> Any:
        set_ones = [option for option in options if option.get("type") != "null"]
        if not self._full and len(set_ones) < len(options):
            return None
        return self.make(set_ones[0], path)

    def _object(self, node: Schema, path: str) -> dict[str, Any]:
        required = node.get("required", ())
        if "properties" in node:
            return {
                name: self.make(field, f"{path}/{name}")
                for name, field in node["properties"].items()
                if self._full or name in required
            }
        keys = self._resolved(node.get("propertyNames", {})).get("enum", ["key"])
        return {key: self.make(node["additionalProperties"], f"{path}/{key}") for key in keys}

    def _array(self, node: Schema, path: str) -> list[Any]:
        least = node.get("minItems", 0)
        number = max(least, min(2, node.get("maxItems", 2))) if self._full else least
        return [self.make(node["items"], f"{path}/{index}") for index in range(number)]

    def _string(self, node: Schema, path: str) -> str:
        name = _name(path)
        if name in _BY_NAME:
            return str(_BY_NAME[name])
        at = _START + timedelta(minutes=_number(path))
        made = {
            "uuid": str(uuid5(NAMESPACE, f"sample:{path}")),
            "date-time": at.isoformat().replace("+00:00", "Z"),
            "date": at.date().isoformat(),
        }
        text = made.get(node.get("format", ""), f"{name.replace('_', ' ') or 'item'} {_number(path)}")
        return text[: node.get("maxLength", len(text))]

    def _integer(self, node: Schema, path: str) -> int:
        number = int(_BY_NAME.get(_name(path), _number(path)))
        low = node.get("minimum", node.get("exclusiveMinimum", number - 1) + 1)
        high = node.get("maximum", node.get("exclusiveMaximum", number + 1) - 1)
        return int(max(low, min(high, number)))

    def _boolean(self, _: Schema, path: str) -> bool:
        return (_number(path) + self._turn) % 2 == 0


def _name(path: str) -> str:
    return next((step for step in reversed(path.split("/")) if not step.isdigit()), "")


def _number(path: str) -> int:
    return crc32(path.encode()) % 1_000


def _longest_enumeration(node: Any) -> int:
    if isinstance(node, list):
        return max((_longest_enumeration(each) for each in node), default=1)
    if not isinstance(node, dict):
        return 1
    own = len(node["enum"]) if isinstance(node.get("enum"), list) else 1
    return max(own, *(_longest_enumeration(each) for name, each in node.items() if name != "x-topic"), 1)
