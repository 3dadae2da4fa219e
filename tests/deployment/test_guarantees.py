"""docs/guarantees.md and docs/findings.md name tests, checks and files: all of them are there."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import effects
import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GUARANTEES = (DOCS / "guarantees.md").read_text()
FINDINGS = (DOCS / "findings.md").read_text()


def complaints(guarantees: str, findings: str) -> list[str]:
    return [*_about(guarantees), *_about(findings), *_unshown(guarantees), *_unheld(findings)]


def _about(text: str) -> Iterator[str]:
    for file, name in re.findall(r"`([\w/.-]+\.py)::(\w+)`", text):
        if name not in named_in(file):
            yield f"no test {file}::{name}"
    for target in re.findall(r"\]\(([^)#]+)", text):
        if not (DOCS / target).exists():
            yield f"no file {target}"
    for checks in re.findall(r"rig: ((?:`\w+` ?)+)", text):
        yield from (
            f"no check {name}" for name in checks.replace("`", "").split() if name not in checks_of_rig()
        )


def _unshown(guarantees: str) -> Iterator[str]:
    promised = guarantees.partition("\n## Promised\n")[2].partition("\n## ")[0]
    for row in filter(None, promised.splitlines()):
        promise, by, shown = (cell.strip() for cell in row.strip("|").split("|"))
        is_heading = by in ("", "by", "---")
        if not is_heading and not re.search(r"::test_|rig: `", shown):
            yield f"nothing shows: {promise}"


def _unheld(findings: str) -> Iterator[str]:
    for section in findings.split("\n### ")[1:]:
        if not re.search(r"^Held by `[^`]+::test_", section, re.MULTILINE):
            yield f"nothing holds: {section.splitlines()[0]}"


@cache
def named_in(file: str) -> frozenset[str]:
    path = ROOT / file
    body = ast.parse(path.read_text()).body if path.is_file() else []
    functions = (each.name for each in body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(name for name in functions if name.startswith("test_"))


@cache
def checks_of_rig() -> frozenset[str]:
    """What the rig may call broken: effects on what clients were told, and the checker's words."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "libs/checker/src").rglob("*.py")]
    words = (each.value for tree in trees for each in ast.walk(tree) if isinstance(each, ast.Constant))
    return frozenset({*get_args(effects.Fault), *(word for word in words if isinstance(word, str))})


def test_all_that_is_named_is_there() -> None:
    assert complaints(GUARANTEES, FINDINGS) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("::test_a_zombie_changes_nothing_twice", "::test_a_zombie", "no test libs/chassis/tests/data/"),
        ("tests/data/test_relay.py::", "tests/data/test_relays.py::", "no test libs/chassis/tests/data/"),
        ("chassis/fence.py)", "chassis/fences.py)", "no file ../libs/chassis/src/souk/chassis/fences.py"),
        ("rig: `undone`", "rig: `redone`", "no check redone"),
    ],
)
def test_a_slip_in_the_guarantees_is_found(old: str, new: str, complaint: str) -> None:
    assert old in GUARANTEES

    found = complaints(GUARANTEES.replace(old, new, 1), FINDINGS)

    assert [complaint in each for each in found] == [True]


def test_a_promise_that_nothing_shows_and_a_finding_that_nothing_holds_are_found() -> None:
    promise = GUARANTEES.replace("\n| **Clicks**", "\n| All is well. | hope | our word |\n| **Clicks**")
    finding = f"{FINDINGS}\n### It was slow\n\nNobody knows why.\n"

    assert complaints(promise, finding) == ["nothing shows: All is well.", "nothing holds: It was slow"]
