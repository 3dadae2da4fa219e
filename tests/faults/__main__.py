"""`python tests/faults`: plays rounds of load and faults, checks after each, and says what it found."""

import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rounds import play


def faults(
    seed: Annotated[int, typer.Option(help="of load and faults")] = 1,
    rounds: Annotated[int, typer.Option(min=1)] = 10,
    seconds: Annotated[float, typer.Option("--for", min=5, help="of load in each round")] = 20.0,
    keep: Annotated[Path | None, typer.Option(help="where to leave the data; removed when sound")] = None,
) -> None:
    root = keep or Path(tempfile.mkdtemp(prefix="souk-faults-"))

    root.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def said(words: str) -> None:
        typer.echo(f"{time.monotonic() - began:7.1f} s  {words}", err=True)

    report = asyncio.run(play(root, seed, rounds, seconds, said=said))
    for each in report.failed:
        said(f"could not be done: {each}")
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


if __name__ == "__main__":
    typer.run(faults)
