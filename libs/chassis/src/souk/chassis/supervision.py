"""A process made of tasks: it ends when it is told to, in order and in time, or when one of them dies."""

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

_log = logging.getLogger(__name__)

STOP_SECONDS = 8.0
_OBJECTS_A_COLLECTION = 50_000


def collect_seldom() -> None:
    """Have the collector of cycles do less (decision 0016); for a process that has started.

    What start-up made stays: a collection that goes through all of it stops the loop for 80 ms. Of what a
    batch of records makes, hardly anything is a cycle, and CPython would look at it twenty times a thousand.
    """
    gc.freeze()
    gc.set_threshold(_OBJECTS_A_COLLECTION, 10, 10)


async def supervise(
    tasks: Mapping[str, Coroutine[Any, Any, None]],
    order: Sequence[Sequence[str]],
    before_stop: Callable[[], None],
) -> int:
    """Run `tasks` by name until SIGTERM or SIGINT, or until one ends; the process's exit code.

    order: names in the order of their end; a group is cancelled when the one before has ended.
    before_stop is called first. All of it takes 8 s at most. 0 after a signal and an orderly end; 1 when
    a task ended by itself (an orchestrator starts the process again) or did not end in time.
    """
    collect_seldom()
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    running = {name: asyncio.create_task(task, name=name) for name, task in tasks.items()}
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait([waiting, *running.values()], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    died = [name for name, task in running.items() if task.done()]
    for name in died:
        failure = None if running[name].cancelled() else running[name].exception()
        _log.critical("%s ended, so the process ends", name, exc_info=failure)
    before_stop()
    in_time = await _stop(running, order, loop.time() + STOP_SECONDS)
    return 0 if in_time and not died else 1


async def _stop(
    running: Mapping[str, "asyncio.Task[None]"], order: Sequence[Sequence[str]], deadline: float
) -> bool:
    late = False
    for groups_left, names in zip(range(len(order), 0, -1), order, strict=True):
        group = {name: running[name] for name in names if not running[name].done()}
        if not group:
            continue
        for task in group.values():
            task.cancel()
        # A later group keeps a share: a slow request must not cost the relay its flush.
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        await asyncio.wait(group.values(), timeout=left if groups_left == 1 else left * 0.7)
        for name, task in group.items():
            if not task.done():
                _log.error("%s did not end in time", name)
                late = True
            elif not task.cancelled() and (failure := task.exception()) is not None:
                _log.error("%s failed while it ended", name, exc_info=failure)
    return not late
