"""The shape of a topic's state as JSON Schema, and the shapes that were frozen before.

A frozen schema is what a reader of that time expects: fields without a default are required, the rest
may be missing. Words (titles, descriptions) are no part of a shape.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from souk.contracts.topic import Topic

Schema = Mapping[str, Any]

FOLDER = Path(__file__).parent / "schemas"
"""Holds `<topic>.<minor>.json`. A file here is never changed."""


def shape_of(topic: Topic[Any]) -> dict[str, Any]:
    """The live shape: the state's schema, and what else readers rely on, under `x-topic`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "x-topic": {
            "name": topic.name,
            "data_class": topic.data_class,
            "partitions": topic.partitions,
            "partition_by": topic.partition_by,
            "events": list(topic.events),
        },
        **_wordless(topic.state.model_json_schema(mode="validation")),
    }


def frozen_shapes(topic: Topic[Any], folder: Path = FOLDER) -> list[Schema]:
    """Every shape that was frozen, by minor version from 0 on."""
    shapes: list[Schema] = []
    while (path := folder / f"{topic.name}.{len(shapes)}.json").exists():
        shapes.append(json.loads(path.read_text(encoding="utf-8")))
    return shapes


def written(document: object) -> str:
    """As files of this package are written: one form only, so that a difference is a change."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _wordless(node: Any) -> Any:
    if isinstance(node, list):
        return [_wordless(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        name: {field: _wordless(each) for field, each in value.items()}
        if name in ("properties", "$defs")
        else _wordless(value)
        for name, value in node.items()
        if not (name in ("title", "description") and isinstance(value, str))
    }
