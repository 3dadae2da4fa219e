"""Write what is generated from the topic files into `docs/`.

    python -m souk.contracts.documents            write docs/events.md and docs/asyncapi.yaml
    python -m souk.contracts.documents --check    1 when one of them is stale

Works in a checkout; needs PyYAML, a development dependency of the workspace.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from souk.contracts.asyncapi import asyncapi
from souk.contracts.catalogue import catalogue

FOLDER = Path(__file__).parents[5] / "docs"

_NOTE = "# Generated from the topic files in libs/contracts by `python -m souk.contracts.documents`.\n"


def documents() -> dict[str, str]:
    """Each generated document by its name in `docs/`."""
    import yaml

    machine = yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=110)
    return {"events.md": catalogue(), "asyncapi.yaml": _NOTE + machine}


def stale(folder: Path = FOLDER) -> list[str]:
    """The documents in `folder` that aren't what would be written now."""
    return [
        name
        for name, text in documents().items()
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m souk.contracts.documents", description="Generate docs.")
    parser.add_argument("--check", action="store_true", help="write nothing, name what is stale")
    if parser.parse_args(arguments).check:
        names = stale()
        sys.stdout.writelines(f"docs/{name} is stale\n" for name in names)
        return 1 if names else 0
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
