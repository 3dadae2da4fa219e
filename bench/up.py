"""`make up`, warm, beside the servers alone; the memory of each process once all are ready.

Warm: what it downloads is there, and it has run in its folder before, with databases, topics and caches made.
Both are timed from the command to its end, when every process has been ready: make, the check that all is
installed, and `souk up`, for the servers with `--servers-only`.
"""

import asyncio
import os
import subprocess
import tempfile
from pathlib import Path
from time import perf_counter

import psutil
from harness import Result, Size, alternate

from souk.local import control
from souk.local.folder import Folder

_ROOT = Path(__file__).parents[1]
# Of a make that runs the bench, and meant for it alone.
_OUTER = {"MAKEFLAGS", "MFLAGS", "ARGS"}


async def measure(size: Size) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="souk-bench-", ignore_cleanup_errors=True) as root:
        folder = Folder(Path(root) / "stack")
        memory: dict[str, float] = {}
        figures, limits = await alternate(
            size.of(full=5, quick=1),
            lambda: asyncio.to_thread(_up, folder, memory),
            lambda: asyncio.to_thread(_up, folder, {}, "ARGS=--servers-only"),
        )
    return [
        Result(
            workload="up, warm",
            unit="s",
            figures=figures,
            limits=limits,
            at_most=15,
            memory=memory,
        )
    ]


def _up(folder: Folder, memory: dict[str, float], *arguments: str) -> float:
    """Seconds until all was ready; memory is filled in then. Raises RuntimeError when it fails."""
    told = {name: value for name, value in os.environ.items() if name not in _OUTER}
    began = perf_counter()
    try:
        made = subprocess.run(
            ["make", "up", *arguments],
            cwd=_ROOT,
            env=told | {"SOUK_DATA": str(folder.root)},
            capture_output=True,
            text=True,
            check=False,
        )
        taken = perf_counter() - began
        if made.returncode:
            raise RuntimeError(made.stdout + made.stderr)
        for each in control.status(folder):
            if each["pid"]:
                memory[each["name"]] = max(_resident(each["pid"]), memory.get(each["name"], 0.0))
    finally:
        control.stop(folder)
    return taken


def _resident(pid: int) -> float:
    """MB of a process and all that it has started.

    What several of them share, as PostgreSQL's do their buffers, is counted once where the system tells
    each one's part of it (pss, on Linux), and else as often as it is in use.
    """
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    if len(family) == 1:
        return process.memory_info().rss / 1e6
    parts = [each.memory_full_info() for each in family]
    return sum(getattr(each, "pss", each.rss) for each in parts) / 1e6
