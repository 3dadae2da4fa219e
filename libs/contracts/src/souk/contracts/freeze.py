"""Freeze the shapes of all topics, or check that the live ones suit everything that was frozen.

    python -m souk.contracts.freeze            write a new minor version of each shape that changed
    python -m souk.contracts.freeze --check    say what differs and who is rolled out first; 1 if not well

Works in a checkout: samples lie beside the package. Checking needs `jsonschema`, a development
dependency of the workspace.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from souk.contracts import schema
from souk.contracts.compatibility import Difference, differences
from souk.contracts.samples import samples_of
from souk.contracts.schema import Schema, frozen_shapes, shape_of, written
from souk.contracts.topic import Topic
from souk.contracts.topics import TOPICS

SAMPLES = Path(__file__).parents[3] / "samples"
DIGESTS = "digests.json"
"""SHA-256 of every frozen file, so that a change to one is seen."""


@dataclass(frozen=True, slots=True)
class Folders:
    schemas: Path = schema.FOLDER
    samples: Path = SAMPLES


def freeze(topics: Sequence[Topic[Any]], folders: Folders) -> list[str]:
    """Write a new minor of each topic whose shape isn't the newest frozen one; what was written.

    Raises ValueError, writing nothing, when a shape breaks an earlier one: that needs a new major
    version, which is a new topic.
    """
    if faults := [fault for topic in topics for fault in _breaks(topic, folders)]:
        raise ValueError("\n".join(faults))
    made = []
    for topic in topics:
        shapes = frozen_shapes(topic, folders.schemas)
        shape = shape_of(topic)
        if shapes and shapes[-1] == shape:
            continue
        name = f"{topic.name}.{len(shapes)}.json"
        for folder, document in ((folders.schemas, shape), (folders.samples, samples_of(shape))):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(written(document), encoding="utf-8")
        made.append(name)
    (folders.schemas / DIGESTS).write_text(written(_digests(folders)), encoding="utf-8")
    return made


def faults(topics: Sequence[Topic[Any]], folders: Folders) -> list[str]:
    """Everything that is wrong, one line each; empty when all is well."""
    return [*_tampered(folders), *(fault for topic in topics for fault in _faults(topic, folders))]


def rollout(topics: Sequence[Topic[Any]], folders: Folders) -> list[str]:
    """Who must be rolled out first for the live shapes: a line for each topic that has changed, compared
    with the shape before."""
    return [line for topic in topics if (line := _rollout(topic, folders))]


def _rollout(topic: Topic[Any], folders: Folders) -> str | None:
    before = (_compared(shape, topic) for shape in reversed(frozen_shapes(topic, folders.schemas)))
    found = next(filter(None, before), [])
    if not found:
        return None
    first = [f"{each.path} {each.detail}" for each in found if each.effect == "readers first"]
    if not first:
        return f"{topic.name}: in any order"
    readers = ", ".join(sorted(topic.readers - {topic.owner})) or "no service"
    return f"{topic.name}: readers first ({readers}), then {topic.owner}: {'; '.join(first)}"


def _faults(topic: Topic[Any], folders: Folders) -> Iterator[str]:
    shapes = frozen_shapes(topic, folders.schemas)
    if not shapes:
        yield f"{topic.name} was never frozen: run python -m souk.contracts.freeze"
        return
    yield from _breaks(topic, folders)
    if shapes[-1] != shape_of(topic):
        yield f"{topic.name} differs from its newest frozen shape: run python -m souk.contracts.freeze"
    for minor, shape in enumerate(shapes):
        name = f"{topic.name}.{minor}"
        for label, sample in _samples(folders, name):
            yield from _unread(topic, f"{name} sample {label}", sample)
        yield from _unfit(topic, name, shape)


def _breaks(topic: Topic[Any], folders: Folders) -> Iterator[str]:
    for minor, shape in enumerate(frozen_shapes(topic, folders.schemas)):
        for each in _compared(shape, topic):
            if each.effect == "break":
                yield f"{topic.name}{each.path and ' ' + each.path}: {each.detail} (since .{minor})"


def _compared(shape: Schema, topic: Topic[Any]) -> list[Difference]:
    return differences(shape, shape_of(topic))


def _unread(topic: Topic[Any], label: str, sample: object) -> Iterator[str]:
    """Old records must be read by live readers."""
    try:
        topic.parse(json.dumps(sample).encode())
    except ValidationError as error:
        yield f"{label} is not read any more: {error.errors()[0]['msg']} at {error.errors()[0]['loc']}"


def _unfit(topic: Topic[Any], name: str, shape: Schema) -> Iterator[str]:
    """Live records must be read by old readers, who ignore what they don't know.

    An unknown value of an enumeration is no fault here: `rollout` says that readers go first.
    """
    from jsonschema import Draft202012Validator

    old_reader = Draft202012Validator(_tolerant(shape), format_checker=Draft202012Validator.FORMAT_CHECKER)
    for label, sample in samples_of(shape_of(topic)).items():
        record = json.loads(topic.dump(topic.parse(json.dumps(sample).encode())))
        for error in _leaves(old_reader.iter_errors(record)):
            if error.validator not in ("enum", "const"):
                yield f"a reader of {name} can't read live sample {label}: {error.message}"


def _leaves(errors: Any) -> Iterator[Any]:
    """Of alternatives those that went deepest: `null` is always the wrong one for a value."""
    for error in errors:
        inner = [each for each in error.context or () if each.validator != "type"]
        if inner:
            yield from _leaves(inner)
        else:
            yield error


def _tolerant(node: Any) -> Any:
    if isinstance(node, list):
        return [_tolerant(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        name: _tolerant(value)
        for name, value in node.items()
        if not (name == "additionalProperties" and value is False)
    }


def _samples(folders: Folders, name: str) -> Iterator[tuple[str, object]]:
    path = folders.samples / f"{name}.json"
    if path.exists():
        yield from json.loads(path.read_text(encoding="utf-8")).items()


def _digests(folders: Folders) -> dict[str, str]:
    return {
        f"{folder.name}/{path.name}": sha256(path.read_bytes()).hexdigest()
        for folder in (folders.schemas, folders.samples)
        for path in sorted(folder.glob("*.json"))
        if path.name != DIGESTS
    }


def _tampered(folders: Folders) -> Iterator[str]:
    noted = folders.schemas / DIGESTS
    expected = json.loads(noted.read_text(encoding="utf-8")) if noted.exists() else {}
    found = _digests(folders)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            yield f"{name} was frozen and is not as it was"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m souk.contracts.freeze", description="Freeze topics' shapes."
    )
    parser.add_argument("--check", action="store_true", help="write nothing, say what is wrong")
    folders = Folders()
    if parser.parse_args(arguments).check:
        lines = faults(TOPICS, folders)
        sys.stdout.writelines(f"{line}\n" for line in (*lines, *rollout(TOPICS, folders)))
        return 1 if lines else 0
    try:
        made = freeze(TOPICS, folders)
    except ValueError as error:
        sys.stderr.write(f"{error}\nA shape that breaks another needs a new topic: the next major version.\n")
        return 1
    sys.stdout.writelines(f"{name}\n" for name in made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
