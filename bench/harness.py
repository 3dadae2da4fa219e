"""How every workload is measured: in turn with its limit, in processes of its own, with their memory."""

import asyncio
import logging
import multiprocessing
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from statistics import median
from threading import Event, Thread
from typing import Any

import psutil
import uvloop

from souk.chassis.supervision import collect_seldom

_SAMPLE_SECONDS = 0.05
Measure = Callable[[], Awaitable[float]]
# Forked from a process that has imported what all need, which is most of what starting one costs.
_FRESH = multiprocessing.get_context("forkserver")
_FRESH.set_forkserver_preload(["souk.chassis.consumer", "souk.chassis.relay", "souk.contracts.topics"])


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. quick: so little that a workload takes about 20 s."""

    quick: bool

    @property
    def rounds(self) -> int:
        return 3 if self.quick else 7

    @property
    def long_rounds(self) -> int:
        """Of what takes a minute or more."""
        return 2 if self.quick else 3

    def of(self, full: int, quick: int) -> int:
        return quick if self.quick else full


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One measured line.

    figures, limits: one of each a round; no limits where nothing is measured beside it.
    floor: the least that the median ratio may be. at_most: the most that the median figure may be.
    memory: peak resident MB by process. also: further figures, by what they are.
    courses: lines to be drawn, by what they are: values from the first to the second of `across`.
    note: what limits the figure, where that has been looked into, or what it does not show.
    """

    workload: str
    unit: str
    figures: Sequence[float]
    limits: Sequence[float] = ()
    floor: float | None = None
    at_most: float | None = None
    memory: Mapping[str, float] = field(default_factory=dict)
    also: Mapping[str, float | str] = field(default_factory=dict)
    courses: Mapping[str, Sequence[float]] = field(default_factory=dict)
    across: tuple[str, str] = ("", "")
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        return [figure / limit for figure, limit in zip(self.figures, self.limits, strict=True)]

    @property
    def met(self) -> bool | None:
        """None where nothing is asked."""
        if self.floor is not None:
            return median(self.ratios) >= self.floor
        return None if self.at_most is None else median(self.figures) <= self.at_most

    @property
    def _bound(self) -> str | None:
        if self.floor is not None:
            return "at least"
        return None if self.at_most is None else "at most"

    def record(self) -> dict[str, Any]:
        """As it is kept in `bench/results`.

        floor: what is asked of the ratio where bound is `at least`, of the figure where it is `at most`.
        spread: of the rounds' figures, as ratio is of their ratios.
        """
        ratios = self.ratios if self.limits else []
        return {
            "workload": self.workload,
            "figure": _rounded(median(self.figures)),
            "unit": self.unit,
            "limit": _rounded(median(self.limits)) if self.limits else None,
            "ratio": _spread(ratios) if ratios else None,
            "spread": _spread(self.figures),
            "floor": self.at_most if self.floor is None else self.floor,
            "bound": self._bound,
            "met": self.met,
            "rss_mb": round(sum(self.memory.values()), 1) if self.memory else None,
            "processes": {name: round(peak, 1) for name, peak in self.memory.items()},
            "rounds": {
                "figures": [_rounded(each) for each in self.figures],
                "limits": [_rounded(each) for each in self.limits],
            },
            "also": {
                name: value if isinstance(value, str) else _rounded(value)
                for name, value in self.also.items()
            },
            "courses": {name: [_rounded(each) for each in line] for name, line in self.courses.items()},
            "across": self.across,
            "note": self.note,
        }


def _rounded(value: float) -> float:
    return round(value) if value >= 1000 else float(f"{value:.4g}")


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {name: _rounded(of(values)) for name, of in (("median", median), ("min", min), ("max", max))}


async def alternate(
    rounds: int,
    figure: Measure,
    limit: Measure,
    before: Callable[[int], Awaitable[None]] | None = None,
) -> tuple[list[float], list[float]]:
    """Figures and limits of so many rounds; which goes first changes, so that no drift favours one.

    A first round, number 0, is not counted: servers and caches are cold in it. before: awaited before each
    round with its number.
    """
    figures, limits = [], []
    for number in range(rounds + 1):
        if before:
            await before(number)
        turn = (figure, limit) if number % 2 else (limit, figure)
        found = {measured: await measured() for measured in turn}
        if number:
            figures.append(found[figure])
            limits.append(found[limit])
    return figures, limits


class Memory:
    """Peak resident memory of processes, in MB, sampled 20 times a second until the block ends."""

    def __init__(self) -> None:
        self.peaks: dict[str, float] = {}
        self._watched: dict[psutil.Process, str] = {}
        self._over = Event()
        self._thread = Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def watch(self, name: str, pid: int | None) -> None:
        """A process that takes the place of another by the same name goes on with its peak."""
        if pid is None:
            raise LookupError(f"{name} does not run")
        self._watched[psutil.Process(pid)] = name

    def _sample(self) -> None:
        while not self._over.wait(_SAMPLE_SECONDS):
            for process, name in list(self._watched.items()):
                with suppress(psutil.NoSuchProcess):
                    peak = process.memory_info().rss / 1e6
                    self.peaks[name] = max(peak, self.peaks.get(name, 0.0))


class Child:
    """A coroutine function run on uvloop in a process of its own; it ends with the block."""

    def __init__(self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> None:
        self._answer, sending = _FRESH.Pipe(duplex=False)
        self._process = _FRESH.Process(target=_run, args=(sending, function, arguments), daemon=True)
        self._process.start()
        # The child has the only other end, so that its death is heard of.
        sending.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    async def result(self) -> Any:
        """What the function returned. Raises RuntimeError with its traceback when it raised."""
        try:
            result, error = await asyncio.to_thread(self._answer.recv)
        except EOFError:
            raise RuntimeError("a measuring process ended without a word") from None
        if error:
            raise RuntimeError(error)
        return result

    async def __aenter__(self) -> "Child":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.terminate()
        await asyncio.to_thread(self._process.join)


async def in_child(
    function: Callable[..., Coroutine[Any, Any, Any]],
    *arguments: Any,
    memory: Memory | None = None,
    name: str = "",
) -> Any:
    """What `function` returns, run in a process of its own; memory: where it is watched as `name`."""
    async with Child(function, *arguments) as child:
        if memory:
            memory.watch(name, child.pid)
        return await child.result()


def _run(
    answer: Connection, function: Callable[..., Coroutine[Any, Any, Any]], arguments: tuple[Any, ...]
) -> None:
    said = logging.StreamHandler()
    # It warns of what it then waits for: a topic or a group that is being made.
    said.addFilter(lambda record: not record.name.startswith("aiokafka") and "Auto create" not in record.msg)
    logging.basicConfig(handlers=[said], level=logging.WARNING)
    # As every process of a service does, and so what is measured beside it.
    collect_seldom()
    try:
        result = uvloop.run(function(*arguments))
    except Exception:  # noqa: BLE001  the parent raises it
        answer.send((None, traceback.format_exc()))
    else:
        answer.send((result, None))


async def until(holds: Callable[[], Awaitable[Any]], every: float = 0.01, within: float = 120.0) -> None:
    """Return when `holds()` does. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while not await holds():  # noqa: ASYNC110  of another process
            await asyncio.sleep(every)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 … 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
