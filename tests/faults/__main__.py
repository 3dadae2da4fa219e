"""`python tests/faults`: plays rounds of load and faults, checks after each, and says what it found.

`--mutant` and `--all-mutants` play the suite with one of its guards taken away, which must be found.
"""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from mutants import MUTANTS, Mutant
from rounds import Report, play


def faults(
    seed: Annotated[int, typer.Option(help="of load and faults")] = 1,
    rounds: Annotated[int, typer.Option(min=1)] = 10,
    seconds: Annotated[float, typer.Option("--for", min=5, help="of load in each round")] = 20.0,
    keep: Annotated[Path | None, typer.Option(help="where to leave the data; removed when sound")] = None,
    mutant: Annotated[
        list[str] | None, typer.Option(help="play it with its faults, for its rounds; several: together")
    ] = None,
    all_mutants: Annotated[bool, typer.Option("--all-mutants", help="play each")] = False,
    control: Annotated[
        bool, typer.Option("--control", help="a mutant's faults on the suite as it is")
    ] = False,
) -> None:
    if mutant or all_mutants:
        if not {*(mutant or ())} <= MUTANTS.keys():
            raise typer.BadParameter(f"one of {', '.join(MUTANTS)}", param_hint="--mutant")
        plays = [[MUTANTS[each] for each in mutant]] if mutant else [[each] for each in MUTANTS.values()]
        missed = [_missed(together, seed, seconds, keep, control=control) for together in plays]
        raise typer.Exit(any(missed))
    report, root = _play(seed, rounds, seconds, keep)
    report.write(Path(os.environ.get("SOUK_FAULTS_REPORT", "faults.json")))
    typer.echo(report.line())
    if not report.sound:
        for words in report.broken[:40]:
            typer.echo(words, err=True)
        options = f"SEED={seed} ROUNDS={report.rounds} FOR={seconds:g}"
        typer.echo(f"{len(report.broken)} found; again: make faults {options}; data in {root}", err=True)
        raise typer.Exit(1)
    if keep is None:
        shutil.rmtree(root, ignore_errors=True)


def _play(
    seed: int,
    rounds: int,
    seconds: float,
    keep: Path | None,
    mutants: Sequence[Mutant] = (),
    *,
    control: bool = False,
) -> tuple[Report, Path]:
    """What came of it, and where its data is."""
    root = keep or Path(tempfile.mkdtemp(prefix="souk-faults-"))
    root.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def said(words: str) -> None:
        typer.echo(f"{time.monotonic() - began:7.1f} s  {words}", err=True)

    report = asyncio.run(play(root, seed, rounds, seconds, mutants=mutants, control=control, said=said))
    for each in report.failed:
        said(f"could not be done: {each}")
    return report, root


def _missed(
    mutants: Sequence[Mutant], seed: int, seconds: float, keep: Path | None, *, control: bool
) -> bool:
    """Whether one of them was not caught, or the control was not sound. One line for each: in which round it
    was caught, after how many seconds, and by what."""
    rounds = max(each.rounds for each in mutants)
    report, root = _play(seed, rounds, seconds, keep, mutants, control=control)
    if keep is None:
        shutil.rmtree(root, ignore_errors=True)
    for words in report.broken[:40]:
        typer.echo(f"  {words}", err=True)
    for each in mutants:
        turn, words = report.caught.get(each.name, (report.rounds, "-"))
        outcome = "caught" if each.name in report.caught else "missed"
        typer.echo(f"{each.name:26} {outcome}  round {turn}  {report.seconds:5.0f} s  {words}")
    return not report.sound if control else len(report.caught) < len(mutants)


if __name__ == "__main__":
    typer.run(faults)
