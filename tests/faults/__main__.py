"""`python tests/faults`: plays rounds of load and faults, checks after each, and says what it found.

What breaks is played again with fewer faults, until it no longer breaks or the time for that is over.
`--mutant` and `--all-mutants` play the suite with one of its guards taken away, which must be found.
"""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Annotated

import typer
from disturbances import plan_of_all
from mutants import MUTANTS, Mutant
from plans import Plan
from rounds import SECONDS, SECONDS_OF_MUTANTS, Report, play
from shrinking import shorter


def faults(
    seed: Annotated[int, typer.Option(help="of load and faults")] = 1,
    rounds: Annotated[int, typer.Option(min=1)] = 10,
    seconds: Annotated[
        float | None, typer.Option("--for", min=5, help="of load in each round; 20, of mutants 40")
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="where to leave the data; removed when sound")] = None,
    plan: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="play the plan of this report again")
    ] = None,
    shrink: Annotated[
        float, typer.Option(min=0, help="seconds to look for fewer faults that still break it")
    ] = 600.0,
    mutant: Annotated[
        list[str] | None, typer.Option(help="play it with its faults, for its rounds; several: together")
    ] = None,
    all_mutants: Annotated[bool, typer.Option("--all-mutants", help="play each")] = False,
    control: Annotated[
        bool, typer.Option("--control", help="a mutant's faults on the suite as it is")
    ] = False,
) -> None:
    if mutant or all_mutants:
        if unknown := {*(mutant or ())} - MUTANTS.keys():
            words = f"{', '.join(sorted(unknown))} is no mutant; there are {', '.join(MUTANTS)}"
            raise typer.BadParameter(words, param_hint="--mutant")
        plays = [[MUTANTS[each] for each in mutant]] if mutant else [[each] for each in MUTANTS.values()]
        seconds = seconds or SECONDS_OF_MUTANTS
        missed = [_missed(together, seed, seconds, keep, control=control) for together in plays]
        raise typer.Exit(any(missed))
    chosen, seconds = plan_of_all(seed, rounds), seconds or SECONDS
    if plan is not None:
        seed, seconds, chosen = _read(plan)
    report, root = _play(seed, chosen, seconds, keep)
    path = Path(os.environ.get("SOUK_FAULTS_REPORT", ".souk/faults.json"))
    path.parent.mkdir(parents=True, exist_ok=True)
    report.write(path)
    if not report.sound:
        found = asyncio.run(shorter(report, seconds, within=shrink, said=_clock()))
        found.write(path.with_name("faults-shortest.json"))
        again = f"ARGS='--plan {plan}'" if plan else f"SEED={seed} ROUNDS={rounds} FOR={seconds:g}"
        _tell(report, found, f"make faults {again}", root, path.with_name("faults-shortest.json"))
    typer.echo(report.line())
    if not report.sound:
        raise typer.Exit(1)
    if keep is None:
        shutil.rmtree(root, ignore_errors=True)


def _read(path: Path) -> tuple[int, float, Plan]:
    """Seed, seconds of load in each round, and plan of a report."""
    try:
        kept = Report.read(path)
    except (ValueError, KeyError, TypeError):
        raise typer.BadParameter(f"{path} is no report of a play", param_hint="--plan") from None
    return kept.seed, kept.load_seconds, kept.plan


def _tell(report: Report, found: Report, again: str, root: Path, path: Path) -> None:
    """What broke, what replays it (`again`), and the shortest history of it; on standard error."""
    for words in report.broken[:40]:
        typer.echo(words, err=True)
    number = sum(map(len, found.plan))
    typer.echo(f"the shortest that was found has {number} faults: {found.broken[0]}", err=True)
    for line in found.about:
        typer.echo(line, err=True)
    typer.echo(f"{len(report.broken)} found; again: {again}; data in {root}", err=True)
    typer.echo(f"the shortest again: make faults ARGS='--plan {path}'", err=True)


def _clock() -> Callable[[str], None]:
    began = time.monotonic()

    def said(words: str) -> None:
        typer.echo(f"{time.monotonic() - began:7.1f} s  {words}", err=True)

    return said


def _play(
    seed: int,
    plan: Plan,
    seconds: float,
    keep: Path | None,
    mutants: Sequence[Mutant] = (),
    *,
    control: bool = False,
) -> tuple[Report, Path]:
    """What came of it, and where its data is."""
    root = keep or Path(tempfile.mkdtemp(prefix="souk-faults-"))
    root.mkdir(parents=True, exist_ok=True)
    said = _clock()
    said(f"starting three brokers and the suite in {root}")
    try:
        report = asyncio.run(play(root, seed, plan, seconds, mutants=mutants, control=control, said=said))
    except KeyboardInterrupt:
        if keep is None:
            shutil.rmtree(root, ignore_errors=True)
        typer.echo("Stopped." if keep is None else f"Stopped; data in {root}", err=True)
        raise typer.Exit(130) from None
    for each in report.failed:
        said(f"could not be done: {each}")
    return report, root


def _missed(
    mutants: Sequence[Mutant], seed: int, seconds: float, keep: Path | None, *, control: bool
) -> bool:
    """Whether one of them was not caught, or the control was not sound. One line for each: in which round it
    was caught, after how many seconds, and by what."""
    each_round = zip_longest(*(each.plan(seed) for each in mutants), fillvalue=())
    plan = [list(chain.from_iterable(faults)) for faults in each_round]
    report, root = _play(seed, plan, seconds, keep, mutants, control=control)
    if keep is None:
        shutil.rmtree(root, ignore_errors=True)
    for words in report.broken[:40]:
        typer.echo(f"  {words}", err=True)
    for each in mutants:
        turn, words = report.caught.get(each.name, (report.rounds, "-"))
        outcome = "caught" if each.name in report.caught else "silent" if control else "missed"
        typer.echo(f"{each.name:26} {outcome}  round {turn}  {report.seconds:5.0f} s  {words}")
    return not report.sound if control else len(report.caught) < len(mutants)


if __name__ == "__main__":
    typer.run(faults)
