"""The shortest history of what broke: the same load, with ever fewer faults."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mutants import Mutant
from plans import Plan, shortest
from rounds import Report, play


async def shorter(
    broken: Report,
    seconds: float,
    *,
    within: float,
    mutants: Sequence[Mutant] = (),
    said: Callable[[str], None] = print,
) -> Report:
    """What came of the shortest play that broke as `broken` did, by a finding that begins as its first does.

    seconds: of load in each round. within: seconds for all plays together.
    """
    found, until = broken, time.monotonic() + within
    kind = _kind(broken.broken[0])

    async def breaks(plan: Plan) -> bool:
        nonlocal found
        root = Path(tempfile.mkdtemp(prefix="souk-shorter-"))
        try:
            async with asyncio.timeout(until - time.monotonic()):
                report = await play(root, broken.seed, plan, seconds, mutants=mutants, said=lambda _: None)
        finally:
            shutil.rmtree(root, ignore_errors=True)
        same = [words for words in report.broken if _kind(words) == kind]
        names = " ".join(fault.name for faults in plan for fault in faults) or "load alone"
        said(f"{'breaks too' if same else 'does not break'}: {names}")
        if same:
            report.broken = same
            found = report
        return bool(same)

    await shortest(broken.plan[: max(broken.rounds, 1)], breaks)
    return found


def _kind(words: str) -> str:
    """`lost click`, `copy_differs notify.campaign`: what kind of thing was found, and of what."""
    return " ".join(words.split()[:2]).rstrip(":")
