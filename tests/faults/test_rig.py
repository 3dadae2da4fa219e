"""Load and faults break nothing: two minutes by one seed, and longer by new ones."""

import os
import random
from pathlib import Path

import pytest
from rounds import Report, play

_SECONDS = 20.0
_NEW = os.environ.get("SOUK_FAULTS_SEED") or str(random.SystemRandom().randrange(1, 1_000_000))
"""Of the long tests; set it to have them play the same again."""


def found(report: Report) -> str:
    again = f"make faults SEED={report.seed} ROUNDS={report.rounds} FOR={_SECONDS:g}"
    return "\n".join([report.line(), *report.broken[:40], f"again: {again}"])


@pytest.mark.timeout(900)
async def test_two_minutes_of_load_and_faults_break_nothing(tmp_path: Path) -> None:
    report = await play(tmp_path, seed=1, rounds=2, seconds=_SECONDS)

    assert report.sound, found(report)
    assert report.acknowledged > 100
    assert report.faults.total() == 9


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_new_seeds_break_nothing(tmp_path: Path) -> None:
    report = await play(tmp_path, seed=int(_NEW), rounds=8, seconds=_SECONDS)

    assert report.sound, found(report)
