"""`souk up`, warm, beside the servers alone; the memory of each process once all are ready.

Warm: in a folder in which it has run before, with databases, topics and caches made. Both are timed from
the start of the supervisor until every process has been ready; the servers run with the same supervisor.
"""

import asyncio
import tempfile
from pathlib import Path
from time import perf_counter

import psutil
from harness import Result, Size, alternate

from souk.local import control
from souk.local.folder import Folder


async def measure(size: Size) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="souk-bench-", ignore_cleanup_errors=True) as root:
        folder = Folder(Path(root) / "stack")
        memory: dict[str, float] = {}
        figures, limits = await alternate(
            size.of(full=5, quick=1),
            lambda: asyncio.to_thread(_up, folder, memory, servers_only=False),
            lambda: asyncio.to_thread(_up, folder, {}, servers_only=True),
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


def _up(folder: Folder, memory: dict[str, float], *, servers_only: bool) -> float:
    """Seconds until all was ready; memory is filled in then."""
    began = perf_counter()
    with control.Supervised(folder) as supervised:
        supervised.launch(servers_only=servers_only, lifeline=True)
        control.wait_ready(folder)
        taken = perf_counter() - began
        for each in control.status(folder):
            if each["pid"]:
                one = psutil.Process(each["pid"])
                # PostgreSQL's share their buffers: only its first process is named.
                memory[each["name"]] = max(one.memory_info().rss / 1e6, memory.get(each["name"], 0.0))
    return taken
