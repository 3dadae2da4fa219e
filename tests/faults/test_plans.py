"""Plans have every kind of fault, stay the same by their seed, and shrink to what breaks."""

import re
from collections import Counter
from pathlib import Path

import pytest
from disturbances import BESIDE, HEAVY, LIGHT, plan_of_all
from plans import Plan, parts, planned, shortest
from rounds import Report

LIGHT_OF_FOUR = ("a", "b", "c", "d", "e", "f")


def names(plan: Plan) -> list[list[str]]:
    return [[fault.name for fault in faults] for faults in plan]


def test_every_kind_comes_before_any_comes_twice() -> None:
    plan = plan_of_all(7, 2 * len(HEAVY))

    told = Counter(fault.name for faults in plan for fault in faults if not fault.late or fault.name in HEAVY)
    assert {name: told[name] for name in HEAVY} == dict.fromkeys(HEAVY, 1)
    assert {told[name] for name in LIGHT} <= {1, 2}


def test_light_ones_overlap_or_come_alone_and_heavy_ones_have_two_beside_them_or_none() -> None:
    plan = plan_of_all(7, 4 * len(HEAVY))

    sizes = [[len(part) for part in parts(faults, late=False)] for faults in plan]
    late = [[[fault.name for fault in part] for part in parts(faults, late=True)] for faults in plan]

    assert sizes == [[4], [4], [1, 1, 1, 1], [4]] * len(HEAVY)
    assert [[len(part) for part in parts] for parts in late] == [[], [3], [], [1]] * len(HEAVY)
    heavy = [part for parts in late for part in parts]
    assert Counter(first for first, *_ in heavy) == dict.fromkeys(HEAVY, 2)
    assert {name for _, *beside in heavy for name in beside} <= {*BESIDE} <= {*LIGHT}
    assert not {fault.name for faults in plan for fault in faults if not fault.late} & {*HEAVY}


def test_a_seed_is_one_plan_and_another_seed_another() -> None:
    assert plan_of_all(7, 4) == plan_of_all(7, 4)
    assert names(plan_of_all(7, 4)) != names(plan_of_all(8, 4))


def test_a_fault_is_the_same_whatever_else_is_planned() -> None:
    long, short = plan_of_all(7, 6), plan_of_all(7, 2)

    assert [[fault.seed for fault in faults] for faults in long[:2]] == [
        [fault.seed for fault in faults] for faults in short
    ]


@pytest.mark.parametrize("needed", [{"a"}, {"b", "e"}, {"a", "c", "f"}, {*"abcdef"}])
async def test_what_is_not_needed_to_break_is_left_out(needed: set[str]) -> None:
    async def breaks(plan: Plan) -> bool:
        return needed <= {name for faults in names(plan) for name in faults}

    found = await shortest(planned(1, 3, LIGHT_OF_FOUR, ("x",), ("y",)), breaks)

    assert sorted(name for faults in names(found) for name in faults) == sorted(needed)


async def test_what_breaks_without_faults_needs_none() -> None:
    async def always(_: Plan) -> bool:
        return True

    assert await shortest(plan_of_all(1, 3), always) == [[]]


async def test_the_search_ends_with_the_shortest_so_far() -> None:
    plays: list[Plan] = []

    async def twice(plan: Plan) -> bool:
        plays.append(plan)
        if len(plays) > 2:
            raise TimeoutError
        return len(plays) == 2

    plan = plan_of_all(1, 2)

    found = await shortest(plan, twice)

    assert found == plays[1]
    assert sum(map(len, found)) < sum(map(len, plan))


def test_the_document_tells_of_every_fault_and_of_no_other() -> None:
    document = (Path(__file__).parents[2] / "docs/rig.md").read_text()

    told = re.findall(r"`(\w+)`", "".join(re.findall(r"^\|([^|]+)\|", document, re.MULTILINE)))

    assert sorted(told) == sorted([*LIGHT, *HEAVY])


def test_the_last_figures_are_of_the_report_beside_them() -> None:
    docs = Path(__file__).parents[2] / "docs"
    report = Report.read(docs / "faults.json")
    words = " ".join((docs / "guarantees.md").read_text().split())

    assert report.plan == plan_of_all(report.seed, report.rounds)
    played = Counter(name for faults in names(report.plan) for name in faults)
    assert (played - report.faults).total() == played.total() - report.faults.total() == len(report.failed)
    assert report.sound
    command = f"make faults SEED={report.seed} ROUNDS={report.rounds} FOR={report.load_seconds:g}"
    assert f"```sh {command} ``` ``` {report.line()} ```" in words
    assert f"at {report.commit}," in words
    assert not report.commit.endswith("-dirty")
    assert f"{report.seconds:,.0f} s" in words
    assert f"{report.refused:,} further requests were refused" in words
