"""Rounds: load beside faults, all faults over, quiet, check; the load itself never waits for quiet."""

import asyncio
import json
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import effects
import told
import videos
from cluster import Cluster, cluster
from disturbances import HEAVY, disturb
from history import History
from load import KINDS, load
from market import Market
from mutants import Aim, Mutant, launcher
from plans import Plan, Planned, parts
from scene import Scene
from source import commit
from watch import Watch

from souk.chassis.clock import ManualClock
from souk.checker.check import check
from souk.checker.topics import Told
from souk.contracts.topic import SERVICES
from souk.local import clock
from souk.local.errors import StackError

log = logging.getLogger(__name__)

OPENING = datetime(2017, 1, 28, 12, tzinfo=UTC)
"""A payment run is due after some 45 s of load, and has enough to pay: what began in the first 15 s is over
before its cut-off."""
MAKERS, PEOPLE = 24, 8
SECONDS, SECONDS_OF_MUTANTS = 20.0, 40.0
"""Of load in each round, where nothing else is asked for. Mutants need the second to be caught by."""
_TICK_SECONDS, _TICK = 0.25, timedelta(hours=1)
_LATE_TICKS = 24 * 20
"""While what was lost is mended, at most: nobody is told what is older than 30 days by then."""
_ROUND = timedelta(days=27)
"""By the suite's clock, at most, one with another: some two weeks, and what is late in every second."""
_REST_SECONDS = 150.0
_REST_SECONDS_OF_MUTANTS = 90.0
_LONGEST_REST_SECONDS = 480.0
"""However much moves: what goes round in circles is no rest."""
_READY_SECONDS = 180.0
"""Within which every process has to run again, once nothing disturbs it any more."""
_LOOK_SECONDS = 0.2
_WHOLE_LOAD_SECONDS = 80.0
"""Of load, within which each kind of it has its turn."""
_LATELY = timedelta(days=120)
"""Within which each kind has it in a longer play: what a play had at its beginning alone is absent."""
_LATE_SECONDS = 3.0
"""Within which a heavy fault and those beside it begin, for it may not last for longer."""
_LONGEST = 15.0, 30.0
"""Seconds that a fault may last, by how long a round is: longer than a session of Kafka in any case."""


@dataclass(slots=True)
class Report:
    """What came of it.

    load_seconds: of each round. commit: of the checkout that was played. broken: what was found, in words.
    about: what was asked of its subjects and what happened meanwhile. faults, failed: those that were carried
    out, and those that could not be. load: how often there was each kind of it. looks: by what was looked at
    under load, how often it was compared. caught: by mutant, in which round and by what first.
    """

    seed: int
    plan: Plan = ()
    load_seconds: float = 0.0
    commit: str = ""
    rounds: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    load: dict[str, int] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    lost: int = 0
    duplicated: int = 0
    overspent: int = 0
    drift: int = 0
    diverged: int = 0
    broken: list[str] = field(default_factory=list)
    about: list[str] = field(default_factory=list)
    caught: dict[str, tuple[int, str]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        return not self.broken

    def line(self) -> str:
        kinds = ",".join(f"{name}:{number}" for name, number in sorted(self.faults.items()))
        return (
            f"rounds={self.rounds} faults={self.faults.total()} by-kind={kinds or '-'} "
            f"acknowledged={self.acknowledged} unknown={self.unknown} lost={self.lost} "
            f"duplicated={self.duplicated} overspent={self.overspent} drift={self.drift} "
            f"diverged={self.diverged}"
        )

    def write(self, path: Path) -> None:
        path.write_text(json.dumps({**asdict(self), "faults": dict(self.faults)}, indent=1) + "\n")

    @staticmethod
    def read(path: Path) -> "Report":
        """What `write` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        kept = json.loads(path.read_text())
        plan = [[Planned(**each) for each in faults] for faults in kept["plan"]]
        return Report(**kept | {"plan": plan, "faults": Counter(kept["faults"])})


@dataclass(frozen=True, slots=True)
class Kept:
    """Of all rounds. malformed: keys and places of records that nobody can read. told: what topics told,
    also those that were lost."""

    malformed: set[str] = field(default_factory=set)
    told: Told = field(default_factory=Told)


_COUNTED = {
    "lost": "lost",
    "undone": "lost",
    "doubled": "duplicated",
    "told_twice": "duplicated",
    "overspent": "overspent",
    "over_cap": "overspent",
    "overpaid": "overspent",
    "unbalanced": "drift",
    "balance_differs": "drift",
    "cost_differs": "drift",
    "payment_differs": "drift",
    "split_differs": "drift",
}
"""Everything else that the checker finds is `diverged`."""


async def play(
    root: Path,
    seed: int,
    plan: Plan,
    seconds: float,
    *,
    mutants: Sequence[Mutant] = (),
    control: bool = False,
    said: Callable[[str], None] = print,
) -> Report:
    """The rounds of `plan` with `seconds` of load each on a fresh suite in `root`, ended early by what is
    found.

    mutants: what to run in the suite's place until each is caught. control: but the suite as it is.
    """
    report, history, began = Report(seed, plan, seconds, commit()), History(), time.monotonic()
    kept = Kept()
    aims = {each.name: each.aim for each in mutants}
    start = launcher([each.name for each in mutants]) if mutants and not control else ()
    patience = _REST_SECONDS_OF_MUTANTS if start else _REST_SECONDS
    years = 1 + (OPENING + len(plan) * _ROUND).year - OPENING.year
    data = videos.write(root / "videos.csv", MAKERS, random.Random(seed), years)
    async with AsyncExitStack() as running:
        try:
            suite = await running.enter_async_context(
                cluster(root / "data", opening=OPENING, data=data, start=start)
            )
            history.clock = ManualClock(suite.clock).now
            market = Market(
                suite.gateway, suite.folder, videos.channels(MAKERS), seed, history, standins=suite.standins
            )
            running.push_async_callback(market.close)
            await market.open(lambda: rest(suite.pulses, _REST_SECONDS))
            said("the suite is ready, and all have signed up")
            for faults in plan:
                await _round(suite, market, report, kept, seconds, patience, aims, faults, said)
                for each in mutants:
                    if each.name not in report.caught and (shown := each.shown_in(report.broken)):
                        report.caught[each.name] = report.rounds, shown
                        said(f"round {report.rounds}: {each.name} is caught: {shown}")
                if not report.sound and len(report.caught) == (0 if control else len(mutants)):
                    break
            _tell_undone(report)
            tell_absent(report)
        except Exception as error:
            # What the suite did to the rig is told as all else is.
            log.exception("the play ended in its round %d", report.rounds + 1)
            _count(report, "ended", f"ended: {error!r}")
        finally:
            report.seconds = round(time.monotonic() - began, 1)
            report.about = history.about(report.broken[:1])
            history.write(root / "history.jsonl")
            report.write(root / "report.json")
    return report


async def _round(
    suite: Cluster,
    market: Market,
    report: Report,
    kept: Kept,
    seconds: float,
    patience: float,
    aims: Mapping[str, Aim],
    faults: Sequence[Planned],
    said: Callable[[str], None],
) -> None:
    """patience: seconds within which something moves on the way to rest. aims: by mutant."""

    watch = Watch()

    def note(name: str) -> None:
        watch.back.add(name)
        said(f"round {report.rounds + 1}: {name}")

    longest = min(max(seconds / 2, _LONGEST[0]), _LONGEST[1])
    scene = Scene(suite, market, random.Random(), longest, note, kept.malformed)
    late, stop = asyncio.Event(), asyncio.Event()
    async with _databases(suite) as databases, asyncio.TaskGroup() as group:
        group.create_task(_look(watch, databases, stop))
        group.create_task(market.trade(PEOPLE, report.rounds, stop))
        group.create_task(_tick(market, late, stop))
        began = time.monotonic()
        for part in parts(faults, late=False):
            _tell_failed(report, await disturb(scene, part, aims, report.faults, longest))
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began)))
        late.set()
        for part in parts(faults, late=True):
            async with asyncio.timeout(_READY_SECONDS):
                await suite.ready()
            _tell_failed(report, await disturb(scene, part, aims, report.faults, _LATE_SECONDS))
        stop.set()
    async with asyncio.timeout(_READY_SECONDS):
        await suite.heal()
    report.rounds += 1
    for name, times in watch.looks.items():
        report.looks[name] = report.looks.get(name, 0) + times
    for one in watch.broken:
        _count(report, one.fault, f"{one.fault} {one.kind}: {one.subject}")
    try:
        said(f"round {report.rounds}: at rest after {await _timed(rest(suite.pulses, patience)):.1f} s")
    except StackError as error:
        _count(report, "restless", f"restless: {error}")
    else:
        await _judge(suite, market.history, kept, report)
    outcomes = market.history.counts()
    report.acknowledged, report.refused, report.unknown = (
        outcomes[outcome] for outcome in ("acknowledged", "refused", "unknown")
    )


async def _look(watch: Watch, databases: effects.Databases, stop: asyncio.Event) -> None:
    """Databases that are away are looked at when they are back."""
    while not stop.is_set():
        await watch.look(databases)
        await asyncio.sleep(_LOOK_SECONDS)


async def _tick(market: Market, late: asyncio.Event, stop: asyncio.Event) -> None:
    """The suite's clock goes on with the load: 4 hours a second, and for 20 days at most once it is late."""
    left = _LATE_TICKS
    while left and not stop.is_set():
        market.move(_TICK)
        left -= late.is_set()
        await asyncio.sleep(_TICK_SECONDS)


async def rest(pulses: Mapping[str, str], patience: float, longest: float = _LONGEST_REST_SECONDS) -> None:
    """Raises StackError when nothing moves for `patience` seconds, or there is no rest for `longest`."""
    try:
        async with asyncio.timeout(longest):
            await clock.settle(pulses, patience=patience)
    except TimeoutError as error:
        raise StackError(f"The suite found no rest for {longest:.0f} s.") from error


async def _timed(waiting: Any) -> float:
    began = time.monotonic()
    await waiting
    return time.monotonic() - began


async def _judge(suite: Cluster, history: History, kept: Kept, report: Report) -> None:
    async with _databases(suite) as databases:
        broken = await effects.check(databases, history)
        broken += await told.mails(databases, suite.folder.standins / "mail.sqlite")
        broken += await told.pushes(databases, suite.standins)
        broken += await told.notices(databases, history)
        report.load = dict(sorted((await load(databases, history, _LATELY)).items()))
    seen = await check(
        {service: suite.stack.postgres.url(service) for service in SERVICES},
        suite.stack.kafka.access("admin").client(),
        now=ManualClock(suite.clock).now(),
        told=kept.told,
    )
    for one in broken:
        _count(report, one.fault, f"{one.fault} {one.kind}: {one.subject}")
    for each in seen.findings:
        if each.check in ("parked", "unreadable") and any(
            each.subject.endswith(one) for one in kept.malformed
        ):
            continue
        _count(report, each.check, f"{each.check} {each.subject}: {each.detail}")


@asynccontextmanager
async def _databases(suite: Cluster) -> AsyncIterator[effects.Databases]:
    """A few connections to each service's database, past its link."""
    async with AsyncExitStack() as opened:
        yield {
            service: await opened.enter_async_context(
                asyncpg.create_pool(
                    suite.stack.postgres.url(service), min_size=0, max_size=1, timeout=10, command_timeout=30
                )
            )
            for service in SERVICES
        }


def _tell_failed(report: Report, failed: Mapping[Planned, str]) -> None:
    """Nothing that a heavy one needs is in its way, so it has to work."""
    for fault, why in failed.items():
        report.failed.append(f"{fault.name}: {why}")
        if fault.name in HEAVY:
            _count(report, "undone_fault", f"undone_fault {fault.name}: {why}")


def _tell_undone(report: Report) -> None:
    """A kind of fault that was planned and worked not once was not played: a green play would hide that."""
    planned = {each.name for faults in report.plan[: report.rounds] for each in faults if not each.late}
    for name in sorted(planned.difference(report.faults)):
        _count(report, "undone_fault", f"undone_fault {name}: it worked not once")


def tell_absent(report: Report) -> None:
    """A kind of load that a long enough play had not once is a finding: nothing of it could break."""
    if report.rounds * report.load_seconds >= _WHOLE_LOAD_SECONDS:
        for kind in KINDS:
            if not report.load.get(kind):
                _count(report, "undone_load", f"undone_load {kind}: it had success not once")


def _count(report: Report, what: str, words: str) -> None:
    kind = _COUNTED.get(what, "diverged")
    setattr(report, kind, getattr(report, kind) + 1)
    report.broken.append(words)
