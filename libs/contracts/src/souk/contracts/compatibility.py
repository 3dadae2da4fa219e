"""Whether a live shape still suits every reader and every record of before (FULL_TRANSITIVE).

Old records must be read by new readers, and new records by old ones, who ignore fields that they
don't know. So a shape may only gain fields that have a default. The one exception is a new value of an
enumeration: old readers can't read it, so every reader must have the new version before any producer
has it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from souk.contracts.schema import Schema

Effect = Literal["break", "readers first", "any order"]

_LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_EXACT = ("format", "pattern", "uniqueItems", "multipleOf")
_UNSET = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """effect: `break` needs a new major version of the topic; the others say who is rolled out first."""

    effect: Effect
    path: str
    detail: str


def differences(old: Schema, new: Schema) -> list[Difference]:
    """How `new` differs from `old`; empty when both are the same shape."""
    return [*_of_topic(old["x-topic"], new["x-topic"]), *_Walk(old, new).compare(old, new, "")]


def _of_topic(old: Schema, new: Schema) -> Iterator[Difference]:
    for name in ("name", "partitions", "partition_by", "data_class"):
        if old[name] != new[name]:
            yield Difference("break", f"x-topic/{name}", f"was {old[name]}, is {new[name]}")
    yield from _of_values("x-topic/events", old["events"], new["events"])


def _of_values(path: str, old: list[Any], new: list[Any]) -> Iterator[Difference]:
    for value in old:
        if value not in new:
            yield Difference("break", path, f"{value!r} is gone")
    for value in new:
        if value not in old:
            yield Difference("readers first", path, f"{value!r} is new")


class _Walk:
    """Compares two shapes, each with definitions of its own."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old: Schema = old.get("$defs", {})
        self._new: Schema = new.get("$defs", {})

    def compare(self, old: Schema, new: Schema, path: str) -> Iterator[Difference]:
        old_node, old_nullable = _plain(old, self._old)
        new_node, new_nullable = _plain(new, self._new)
        if old_nullable != new_nullable:
            detail = "may be null now" if new_nullable else "may be null no more"
            yield Difference("break", path, detail)
        old_kind, new_kind = _kind(old_node), _kind(new_node)
        if old_kind != new_kind:
            yield Difference("break", path, f"was {old_kind}, is {new_kind}")
        elif old_kind == "enumeration":
            yield from _of_values(path, _values(old_node), _values(new_node))
        elif old_kind == "union":
            if old_node != new_node:
                yield Difference("break", path, "the union is another")
        else:
            yield from _of_bounds(path, old_node, new_node)
            yield from self._inside(old_node, new_node, path)

    def _inside(self, old: Schema, new: Schema, path: str) -> Iterator[Difference]:
        for part in ("items", "additionalProperties", "propertyNames"):
            inner_old, inner_new = old.get(part), new.get(part)
            if isinstance(inner_old, dict) and isinstance(inner_new, dict):
                yield from self.compare(inner_old, inner_new, f"{path}/{part}")
            elif isinstance(inner_old, dict) != isinstance(inner_new, dict):
                yield Difference("break", f"{path}/{part}", "was otherwise")
        yield from self._fields(old, new, path)

    def _fields(self, old: Schema, new: Schema, path: str) -> Iterator[Difference]:
        old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
        required, was_required = new.get("required", ()), old.get("required", ())
        for name, field in old_fields.items():
            at = f"{path}/{name}"
            if name not in new_fields:
                yield Difference("break", at, "the field is gone")
                continue
            if name in required and name not in was_required:
                yield Difference("break", at, "is required now")
            if name in was_required and name not in required:
                yield Difference("break", at, "is required no more, but old readers need it")
            yield from self.compare(field, new_fields[name], at)
            if field.get("default", _UNSET) != new_fields[name].get("default", _UNSET):
                yield Difference(
                    "break", at, "has another default: records without it would mean another thing"
                )
        for name in new_fields:
            if name not in old_fields:
                if name in required:
                    yield Difference("break", f"{path}/{name}", "a new field needs a default")
                else:
                    yield Difference("any order", f"{path}/{name}", "the field is new")


def _plain(node: Schema, defs: Schema) -> tuple[Schema, bool]:
    """The node without reference and null, and whether it may be null."""
    while "$ref" in node:
        node = defs[node["$ref"].rpartition("/")[2]]
    if "anyOf" not in node:
        return node, node.get("type") == "null"
    options = [option for option in node["anyOf"] if option.get("type") != "null"]
    nullable = len(options) < len(node["anyOf"])
    if len(options) == 1:
        return _plain(options[0], defs)[0], nullable
    return {"anyOf": options}, nullable


def _kind(node: Schema) -> str:
    if "anyOf" in node:
        return "union"
    return "enumeration" if "enum" in node or "const" in node else str(node.get("type", "anything"))


def _values(node: Schema) -> list[Any]:
    return [node["const"]] if "const" in node else list(node["enum"])


def _of_bounds(path: str, old: Schema, new: Schema) -> Iterator[Difference]:
    for name in (*_LOWER_BOUNDS, *_UPPER_BOUNDS):
        was, now = old.get(name), new.get(name)
        if was != now:
            tighter = was is None or (now is not None and (now > was) == (name in _LOWER_BOUNDS))
            whom = "old records may not fit" if tighter else "old readers may refuse new records"
            yield Difference("break", path, f"{name} was {was}, is {now}: {whom}")
    for name in _EXACT:
        if old.get(name) != new.get(name):
            yield Difference("break", path, f"{name} was {old.get(name)}, is {new.get(name)}")
