"""Every mutant is what it says: its texts are there, and what comes of them can be run; and it is caught."""

from itertools import groupby
from operator import attrgetter
from pathlib import Path

import pytest
from disturbances import HEAVY, LIGHT
from mutants import ALL, MUTANTS, Mutant, changed, source_of
from rounds import SECONDS_OF_MUTANTS, play

_SEED = 1
_EACH = pytest.mark.parametrize("mutant", ALL, ids=attrgetter("name"))


def test_there_are_enough_and_each_has_a_name_of_its_own() -> None:
    assert len(MUTANTS) == len(ALL) >= 18


@_EACH
def test_its_texts_are_there_once_and_what_comes_of_them_compiles(mutant: Mutant) -> None:
    for module, edits in groupby(sorted(mutant.edits, key=lambda e: e.module), key=lambda e: e.module):
        source = source_of(module)

        mutated = changed(source, list(edits))

        assert mutated != source
        compile(mutated, module, "exec")


def test_a_text_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="has 0 times"):
        changed("", MUTANTS["no_fence"].edits)


@_EACH
def test_its_faults_are_known(mutant: Mutant) -> None:
    assert {*mutant.faults} <= {*LIGHT, *HEAVY}


@pytest.mark.parametrize(
    ("lag", "shown"),
    [
        ("notify-worker-2 has outbox=0 lag=37", True),
        ("notify-worker-2 has outbox=9 lag=0", False),
        ("billing-worker-1 has outbox=0 lag=37", False),
    ],
)
def test_no_rest_shows_a_mutant_only_by_the_lag_of_its_service(lag: str, *, shown: bool) -> None:
    words = f"restless: The suite did not come to rest for 90 s: {lag} due=0"

    assert bool(MUTANTS["rest_of_batch_skipped"].shown_in([words])) is shown


@pytest.mark.long
@pytest.mark.timeout(900)
@_EACH
async def test_it_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    report = await play(tmp_path, _SEED, mutant.plan(_SEED), SECONDS_OF_MUTANTS, mutants=[mutant])

    assert mutant.name in report.caught
