"""The process that owns all others: starts, watches, restarts and stops them.

It runs in the background and is spoken to through a Unix socket (`control.py`). It stops everything when told
to, on SIGTERM and SIGINT and, when started with a lifeline, as soon as the process that started it is gone.
"""

import asyncio
import contextlib
import json
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil  # type: ignore[import-untyped]

from souk.local.errors import StackError
from souk.local.folder import Folder
from souk.local.process import Spec, signal_group, spawn

State = Literal["waiting", "starting", "ready", "done", "restarting", "held", "stopped", "failed"]

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.03
_BACK_OFF = (0.0, 0.5, 1.0, 2.0, 5.0)
_STEADY_SECONDS = 30.0
_LOG_LIMIT = 16 << 20
_LOG_CHECK_SECONDS = 5.0


@dataclass(slots=True)
class Child:
    """One process and where it is in its life.

    held: kept down on purpose. needed: the stack isn't ready without it.
    """

    spec: Spec
    needed: bool = True
    state: State = "waiting"
    process: asyncio.subprocess.Process | None = None
    first_ready: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    restarts: int = 0
    took: float = 0.0

    def facts(self) -> dict[str, Any]:
        return {
            "name": self.spec.name,
            "state": self.state,
            "pid": self.process.pid if self.process and self.process.returncode is None else None,
            "restarts": self.restarts,
            "took": round(self.took, 3),
        }


class Supervisor:
    """Runs `specs` until `stop`. Every change of a child's state wakes those who wait for `changed`."""

    def __init__(self, folder: Folder, specs: Sequence[Spec]) -> None:
        self.folder = folder
        self.children = {spec.name: Child(spec) for spec in specs}
        self.changed = asyncio.Condition()
        self.failure: str | None = None
        self.stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start everything that can start, in parallel; returns when all is ready or one has failed."""
        remove_leftovers(self.folder)
        self._tasks = [asyncio.create_task(self._guard(child)) for child in self.children.values()]
        self._tasks.append(asyncio.create_task(bound_logs(self.folder.logs)))
        await self.until(lambda: self.failure is not None or self.ready)

    @property
    def ready(self) -> bool:
        return all(child.first_ready.is_set() for child in self.children.values() if child.needed)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with self.changed:
            await self.changed.wait_for(condition)

    async def run_once(self, spec: Spec) -> None:
        """Run a one-shot beside the rest; its failure harms nothing."""
        child = Child(spec, needed=False)
        child.wanted.set()
        self.children[spec.name] = child
        self._tasks.append(asyncio.create_task(self._attempt_quietly(child)))

    async def kill(self, name: str, number: signal.Signals, *, hold: bool) -> None:
        """Send a signal to a process; when it dies of it, it is started again unless `hold` is set."""
        child = self._child(name)
        if hold:
            child.wanted.clear()
        if child.process and child.process.returncode is None:
            signal_group(child.process.pid, number)

    async def restart(self, name: str) -> None:
        """Stop a process in order (when it runs), start it, and wait until it is ready."""
        child = self._child(name)
        before = child.process
        child.wanted.clear()
        if before and before.returncode is None:
            await _end(child)
        child.wanted.set()
        await self.until(
            lambda: self.stopping or (child.process is not before and child.state in {"ready", "failed"})
        )

    async def stop(self) -> None:
        """Stop everything in reverse order of start; afterwards no child is left."""
        if self.stopping:
            return
        self.stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for level in reversed(levels([child.spec for child in self.children.values()])):
            await asyncio.gather(*(self._stop_child(self.children[name]) for name in level))
        await self._wake()

    async def _stop_child(self, child: Child) -> None:
        await _end(child)
        await self._set(child, "stopped")
        self._pid_path(child).unlink(missing_ok=True)

    def _child(self, name: str) -> Child:
        if name not in self.children:
            raise StackError(f"There is no process named {name}: choose one of {', '.join(self.children)}.")
        return self.children[name]

    async def _guard(self, child: Child) -> None:
        try:
            await self._live(child)
        except StackError as error:
            self.failure = self.failure or str(error)
            await self._set(child, "failed")
        except Exception as error:  # noqa: BLE001 (whatever it is, the person who waits must be told)
            self.failure = self.failure or f"{child.spec.name} could not be started: {error!r}"
            await self._set(child, "failed")

    async def _attempt_quietly(self, child: Child) -> None:
        try:
            await self._attempt(child)
        except (StackError, OSError):
            await self._set(child, "failed")

    async def _live(self, child: Child) -> None:
        for name in child.spec.after:
            await self.children[name].first_ready.wait()
        if child.spec.prepare:
            await self._set(child, "starting")
            await child.spec.prepare()
        child.wanted.set()
        failures = 0
        while True:
            began = time.monotonic()
            unready = ""
            try:
                await self._attempt(child)
            except StackError:
                if not child.first_ready.is_set():
                    raise
                unready = " without getting ready"
            if child.spec.ready is None:
                return
            assert child.process is not None
            how = _end_of(await child.process.wait())
            lived = time.monotonic() - began
            then = f"before restart {child.restarts + 1}" if child.wanted.is_set() else "held"
            _log.info("%s ended %s after %.1f s%s, %s", child.spec.name, how, lived, unready, then)
            if child.wanted.is_set():
                failures = 0 if lived > _STEADY_SECONDS else failures + 1
                await self._set(child, "restarting")
                await asyncio.sleep(_BACK_OFF[min(failures, len(_BACK_OFF)) - 1])
            if not child.wanted.is_set():
                await self._set(child, "held")
                await child.wanted.wait()
                failures = 0
            child.restarts += 1

    async def _attempt(self, child: Child) -> None:
        """Start once and see it ready (or, one-shot, done). Raises StackError when it isn't."""
        spec = child.spec
        began = time.monotonic()
        child.process = await _whole(spawn(spec, self.folder.log(spec.name), self.folder.root))
        # One that is over already leaves nothing to remember; what it left with is seen below.
        with contextlib.suppress(psutil.NoSuchProcess):
            self._pid_path(child).write_text(json.dumps(_identity(child.process.pid)))
        await self._set(child, "starting")
        gone = asyncio.create_task(child.process.wait())
        try:
            async with asyncio.timeout(spec.start_within):
                if spec.ready is None:
                    await gone
                else:
                    while not gone.done() and not await spec.ready():
                        await asyncio.wait([gone], timeout=_POLL_SECONDS)
            if gone.done() and (spec.ready or child.process.returncode):
                raise StackError(self._complaint(child, "stopped while starting"))
            if spec.settle and not child.first_ready.is_set():
                await spec.settle()
        except TimeoutError as error:
            await _end(child)
            raise StackError(
                self._complaint(child, f"was not ready within {spec.start_within:.0f} s")
            ) from error
        finally:
            gone.cancel()
        child.took = time.monotonic() - began
        child.first_ready.set()
        await self._set(child, "ready" if spec.ready else "done")

    def _complaint(self, child: Child, what: str) -> str:
        log = self.folder.log(child.spec.name)
        lines = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
        return f"{child.spec.name} {what}: see {log}{': ' if lines else ''}{''.join(lines)[:300]}"

    def _pid_path(self, child: Child) -> Path:
        return self.folder.pids / f"{child.spec.name}.json"

    async def _set(self, child: Child, state: State) -> None:
        child.state = state
        await self._wake()

    async def _wake(self) -> None:
        async with self.changed:
            self.changed.notify_all()


def _end_of(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    # Most real-time signals have no name.
    names = {each.value: each.name for each in signal.Signals}
    return f"by {names.get(-code, f'signal {-code}')}"


async def _whole(starting: Coroutine[Any, Any, asyncio.subprocess.Process]) -> asyncio.subprocess.Process:
    """See a start through even when it is cancelled meanwhile: a child nobody knows would be left over."""
    task = asyncio.create_task(starting)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        process = await task
        signal_group(process.pid, signal.SIGKILL)
        await process.wait()
        raise


async def _end(child: Child) -> None:
    process = child.process
    if process is None or process.returncode is not None:
        return
    # Its own process only: PostgreSQL's postmaster must end its backends itself.
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(child.spec.stop_signal)
    try:
        await asyncio.wait_for(process.wait(), child.spec.stop_within)
    except TimeoutError:
        signal_group(process.pid, signal.SIGKILL)
        await process.wait()
    # What the process may have left in its group.
    signal_group(process.pid, signal.SIGKILL)


def levels(specs: Sequence[Spec]) -> list[list[str]]:
    """Names in order of start; those of one level need none of each other."""
    depth: dict[str, int] = {}
    for spec in specs:
        depth[spec.name] = 1 + max((depth.get(name, 0) for name in spec.after), default=-1)
    return [
        [name for name, at in depth.items() if at == level]
        for level in range(max(depth.values(), default=-1) + 1)
    ]


def _identity(pid: int) -> dict[str, float]:
    return {"pid": pid, "started": psutil.Process(pid).create_time()}


def remove_leftovers(folder: Folder) -> None:
    """End what an earlier supervisor left (only possible where the kernel sends no parent-death signal)."""
    for path in folder.pids.glob("*.json"):
        with contextlib.suppress(psutil.NoSuchProcess, ValueError, KeyError):
            known = json.loads(path.read_text())
            process = psutil.Process(int(known["pid"]))
            if abs(process.create_time() - known["started"]) < 0.01:
                process.kill()
                process.wait(10)
        path.unlink()


async def bound_logs(logs: Path) -> None:
    """Keep each log below twice its limit: the newest part and the one before it."""
    while True:
        for log in _large(logs):
            older = log.with_suffix(".log.1")
            older.write_bytes(log.read_bytes())
            # Emptied in place: the child goes on appending to the same file.
            with log.open("r+b") as file:
                file.truncate(0)
        await asyncio.sleep(_LOG_CHECK_SECONDS)


def _large(logs: Path) -> list[Path]:
    return [log for log in logs.glob("*.log") if log.stat().st_size > _LOG_LIMIT]
