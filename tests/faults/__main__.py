"""`python tests/faults`: plays rounds of load and faults, checks after each, and says what it found.

`--mutant` and `--all-mutants` play the suite with one of its guards taken away, which must be found.
"""

import asyncio
import os
import shutil
import tempfile
import time
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
    mutant: Annotated[str | None, typer.Option(help="play this one, with its faults and rounds")] = None,
    all_mutants: Annotated[bool, typer.Option("--all-mutants", help="play each")] = False,
    control: Annotated[
        bool, typer.Option("--control", help="a mutant's faults on the suite as it is")
    ] = False,
) -> None:
    if mutant or all_mutants:
        if mutant and mutant not in MUTANTS:
            raise typer.BadParameter(f"one of {', '.join(MUTANTS)}", param_hint="--mutant")
        chosen = [MUTANTS[mutant]] if mutant else list(MUTANTS.values())
        _play_mutants(chosen, seed, seconds, keep, control=control)
        return
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
    mutant: Mutant | None = None,
    *,
    control: bool = False,
) -> tuple[Report, Path]:
    """What came of it, and where its data is."""
    root = keep or Path(tempfile.mkdtemp(prefix="souk-faults-"))
    root.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def said(words: str) -> None:
        typer.echo(f"{time.monotonic() - began:7.1f} s  {words}", err=True)

    report = asyncio.run(play(root, seed, rounds, seconds, mutant=mutant, control=control, said=said))
    for each in report.failed:
        said(f"could not be done: {each}")
    return report, root


def _play_mutants(
    mutants: list[Mutant], seed: int, seconds: float, keep: Path | None, *, control: bool
) -> None:
    """One line a mutant: caught or missed, in which round, after how many seconds, what caught it first."""
    as_wanted = True
    for each in mutants:
        report, root = _play(seed, each.rounds, seconds, keep and keep / each.name, each, control=control)
        if keep is None:
            shutil.rmtree(root, ignore_errors=True)
        as_wanted = as_wanted and report.sound == control
        outcome = "missed" if report.sound else "caught"
        for words in report.broken[:10]:
            typer.echo(f"  {words}", err=True)
        first = report.broken[0] if report.broken else "-"
        typer.echo(f"{each.name:26} {outcome}  round {report.rounds}  {report.seconds:5.0f} s  {first}")
    if not as_wanted:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(faults)
