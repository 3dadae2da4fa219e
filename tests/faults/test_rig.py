"""Load and faults break nothing: two minutes by one seed, and longer by new ones."""

import json
import os
import random
import re
from itertools import count
from pathlib import Path

import pytest
from disturbances import FAULTS, plan_of_all
from fastapi import FastAPI
from load import KINDS
from mutants import MUTANTS, Mutant
from rounds import SECONDS, Report, play, rest, tell_absent
from shrinking import shorter

from souk.chassis.server import served
from souk.local.errors import StackError

_LONG_SECONDS = 60.0
"""So that a fault may last for 30 s, longer than a relay's hold on its shards."""
_SHRINK_SECONDS = 240.0
_TWO_MINUTES_HAVE = {
    *("draft", "approve", "raise", "edit", "join", "accept", "click", "order", "refund"),
    *("post", "metric_up", "metric_down", "post_approve", "payment_run", "payment_paid"),
    *("sent_email", "sent_push"),
}
_LOAD_SECONDS = 30.0
"""In each of two rounds: the payment run is due after some 45 s of load, and people have to be paid then."""
_NEW = os.environ.get("SOUK_FAULTS_SEED") or str(random.SystemRandom().randrange(1, 1_000_000))
"""Of the long tests; set it to have them play the same again."""


async def found(report: Report) -> str:
    """What broke, what plays it again, and the shortest history of it."""
    again = f"make faults SEED={report.seed} ROUNDS={report.rounds} FOR={report.load_seconds:g}"
    short = await shorter(report, report.load_seconds, within=_SHRINK_SECONDS)
    return "\n".join([report.line(), *report.broken[:40], *short.about, f"again: {again}"])


@pytest.mark.timeout(900)
async def test_two_minutes_of_load_and_faults_break_nothing(tmp_path: Path) -> None:
    report = await play(tmp_path, 1, plan_of_all(1, 2), _LOAD_SECONDS)

    assert report.sound, await found(report)
    assert report.acknowledged > 100
    assert {kind for kind, times in report.load.items() if times} >= _TWO_MINUTES_HAVE
    assert report.refused > 0
    assert report.looks["position"] > 0
    assert report.looks["copy"] > 0
    assert report.faults.total() == 11


async def test_what_moves_for_ever_is_no_rest() -> None:
    busy, numbers = FastAPI(), count()

    @busy.get("/pulse")
    async def pulse() -> dict[str, int | None]:
        return {"outbox": 0, "lag": 1, "due": 0, "next_due": None, "progress": next(numbers)}

    async with served(busy) as address:
        with pytest.raises(StackError, match="no rest for 1 s"):
            await rest({"busy": f"{address}/pulse"}, patience=0.5, longest=1.0)

    assert next(numbers) > 1


@pytest.mark.parametrize(("rounds", "found"), [(3, []), (4, ["undone_load refund: it had success not once"])])
def test_load_that_a_whole_play_had_not_once_is_a_finding(rounds: int, found: list[str]) -> None:
    report = Report(1, load_seconds=SECONDS, rounds=rounds, load=dict.fromkeys(KINDS, 1) | {"refund": 0})

    tell_absent(report)

    assert report.broken == found


@pytest.mark.long
async def test_a_suite_that_does_not_start_is_a_finding(tmp_path: Path) -> None:
    unknown = Mutant("unknown", "", (), ())

    report = await play(tmp_path, 1, plan_of_all(1, 1), SECONDS, mutants=[unknown])

    [words] = report.broken
    assert words.startswith("ended: StackError")
    assert json.loads((tmp_path / "report.json").read_text())["broken"] == [words]


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_new_seeds_break_nothing(tmp_path: Path) -> None:
    seed = int(_NEW)
    plan = plan_of_all(seed, 10)
    assert {fault.name for faults in plan for fault in faults} == FAULTS.keys(), "each kind comes"

    report = await play(tmp_path, seed, plan, _LONG_SECONDS)

    assert report.sound, await found(report)


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_what_breaks_is_told_by_its_shortest_history(tmp_path: Path) -> None:
    keeps_versions = [MUTANTS["version_kept"]]
    broken = await play(tmp_path, 1, plan_of_all(1, 2), SECONDS, mutants=keeps_versions)

    short = await shorter(broken, SECONDS, within=_SHRINK_SECONDS, mutants=keeps_versions)

    assert not broken.sound
    assert short.plan == [[]], "it needs no fault"
    [campaign, *_] = re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", short.broken[0])
    assert short.broken[0].startswith(("fork campaign.campaigns", "lost budget"))
    assert any("approve" in line and campaign in line for line in short.about)
