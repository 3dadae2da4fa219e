"""The fields of a state as documents show them: type, class of data, meaning."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from textwrap import dedent
from typing import Any

from pydantic import BaseModel

from souk.contracts.topic import DataClass, Topic

_OF_TOPIC: Mapping[DataClass, str] = {"public": "public", "internal": "internal", "private": "internal"}
"""The class of a field that names none of its own."""

_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_SIZES = {"maxItems": "at most {}", "maxLength": "at most {} characters"}


@dataclass(frozen=True, slots=True)
class FieldRow:
    """data_class: public, internal, personal or secret. required: has no default."""

    name: str
    type: str
    required: bool
    data_class: str
    meaning: str


@dataclass(frozen=True, slots=True)
class FieldTable:
    """Of a state, or of a part that a state holds."""

    name: str
    rows: tuple[FieldRow, ...]


def field_tables(topic: Topic[Any]) -> list[FieldTable]:
    """The state's own fields first, then its parts' by name."""
    parts = _parts_of(topic.state)
    schema = topic.state.model_json_schema(mode="validation")
    shapes = {topic.state.__name__: schema} | {
        name: node for name, node in sorted(schema.get("$defs", {}).items()) if "properties" in node
    }
    return [
        FieldTable(name, tuple(_rows(shape, schema.get("$defs", {}), meanings_of(parts[name]), topic)))
        for name, shape in shapes.items()
    ]


def class_of(field: Mapping[str, Any], topic: Topic[Any]) -> str:
    return str(field.get("x-data-class", _OF_TOPIC[topic.data_class]))


def meanings_of(model: type[Any]) -> Mapping[str, str]:
    """What the strings below a model's fields say, and the descriptions given with them."""
    meanings = {name: field.description for name, field in model.model_fields.items() if field.description}
    for base in reversed(
        [each for each in model.__mro__ if issubclass(each, BaseModel) and each is not BaseModel]
    ):
        body = ast.parse(dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                meanings[field.target.id] = " ".join(str(text.value.value).split())
    return meanings


def _rows(
    shape: Mapping[str, Any], defs: Mapping[str, Any], meanings: Mapping[str, str], topic: Topic[Any]
) -> Iterator[FieldRow]:
    for name, field in shape["properties"].items():
        required = name in shape.get("required", ())
        yield FieldRow(name, _type(field, defs), required, class_of(field, topic), meanings.get(name, ""))


def _type(node: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return name if "properties" in defs[name] else _type(defs[name], defs)
    if "anyOf" in node:
        return " or ".join(_type(option, defs) for option in node["anyOf"])
    if "enum" in node or "const" in node:
        return ", ".join(f"`{value}`" for value in node.get("enum", [node.get("const")]))
    plain = str(node.get("format", node["type"]))
    if plain == "array":
        plain = f"list of {_type(node['items'], defs)}"
    elif plain == "object":
        plain = f"map to {_type(node['additionalProperties'], defs)}"
    return plain + _limits(node)


def _limits(node: Mapping[str, Any]) -> str:
    bounds = [f"{sign} {node[name]}" for name, sign in _BOUNDS.items() if name in node]
    sizes = [words.format(node[name]) for name, words in _SIZES.items() if name in node]
    return f" ({', '.join((*bounds, *sizes))})" if bounds or sizes else ""


def _parts_of(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The model and every model that it holds, by name."""
    found = {model.__name__: model}
    for field in model.model_fields.values():
        for part in _models_in(field.annotation):
            found |= _parts_of(part)
    return found


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)
