"""An hour of mixed load in fast motion: what grows that should not.

The fault rig's market trades with the whole suite through gateway and redirect, while the suite's clock goes
on by 3 hours a second: 450 days in the hour, so that what is kept longest, clicks and snapshots for 400 days,
reaches its end too.
SOUK_BENCH_HOUR_SECONDS sets another length; in ten minutes Kafka's heap is still filling, for what has become
old in it is collected only when it is full. Looked at are

- the memory of every process, which must be in the last quarter what it was in the second;
- every table that docs/bounds.md bounds by age, bounds by a key or says to be empty at rest;
- every topic's configuration, size and oldest record. They go by the machine's clock, of which an hour is too
  little for anything to be removed.
"""

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import bounds
import psutil
import videos
from cluster import Cluster, cluster
from confluent_kafka.admin import AdminClient, ConfigResource
from harness import Result, Size
from history import History
from market import Market

from souk.chassis.clock import ManualClock
from souk.contracts.topic import SERVICES
from souk.contracts.topics import TOPICS
from souk.local import clock, provision

_OPENING = datetime(2017, 1, 2, 6, tzinfo=UTC)
_TICK_SECONDS, _PACE = 0.25, timedelta(hours=3)
_MAKERS, _PEOPLE, _CAMPAIGNS_A_DAY = 24, 4, 3
_REMEMBERED = 2_000
_QUARTERS = 4
_SAMPLE_SECONDS = 2.0
_REST_SECONDS = 300.0
_LARGEST = 12
_DRAWN = 120
_MOST_GROWTH = 1.1
_MB = 1e6


async def measure(size: Size) -> list[Result]:
    seconds = float(os.environ.get("SOUK_BENCH_HOUR_SECONDS", size.of(full=3_600, quick=90)))
    with tempfile.TemporaryDirectory(prefix="souk-bench-", ignore_cleanup_errors=True) as root:
        place = Path(root)
        data = videos.write(place / "videos.csv", _MAKERS, random.Random(1), years=2)
        async with cluster(place / "data", brokers=1, workers=1, opening=_OPENING, data=data) as suite:
            history = History(newest=_REMEMBERED)
            makers = videos.channels(_MAKERS)
            market = Market(
                suite.gateway,
                suite.folder,
                makers,
                seed=1,
                history=history,
                a_day=_CAMPAIGNS_A_DAY,
                closed_after=timedelta(days=7),
            )
            try:
                await market.open(lambda: clock.settle(suite.pulses))
                seen = await _load(suite, market, seconds)
                await clock.settle(suite.pulses, patience=_REST_SECONDS)
            finally:
                await market.close()
            days = (ManualClock(suite.clock).now() - _OPENING).days
            return [
                _flat(
                    seen,
                    # 90 seconds are all warming up.
                    None if size.quick else _MOST_GROWTH,
                    {"requests": history.asked, "days": days},
                ),
                await _ages(suite, seen),
                await _rest(suite, seen),
            ]


@dataclass(slots=True)
class _Seen:
    """memory: MB of each process by its name, each time. tables, requests: at each quarter's end."""

    memory: list[dict[str, float]] = field(default_factory=list)
    tables: list[dict[str, "_Extent"]] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)

    @property
    def peaks(self) -> dict[str, float]:
        return {name: max(sample[name] for sample in self.memory) for name in self.memory[0]}


@dataclass(frozen=True, slots=True)
class _Extent:
    mb: float
    live: int
    dead: int


async def _load(suite: Cluster, market: Market, seconds: float) -> _Seen:
    seen = _Seen()
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_watch(suite, seen.memory, over))
        for quarter in range(_QUARTERS):
            await _trade(market, quarter, seconds / _QUARTERS)
            seen.tables.append(await _tables(suite))
            seen.requests.append(market.history.asked)
        over.set()
    return seen


async def _trade(market: Market, quarter: int, seconds: float) -> None:
    stop = asyncio.Event()
    ticked = time.monotonic()
    until = ticked + seconds
    async with asyncio.TaskGroup() as group:
        group.create_task(market.trade(_PEOPLE, quarter, stop))
        while ticked < until:
            await asyncio.sleep(_TICK_SECONDS)
            before, ticked = ticked, time.monotonic()
            market.move((ticked - before) * _PACE)
        stop.set()


# Memory


async def _watch(suite: Cluster, samples: list[dict[str, float]], over: asyncio.Event) -> None:
    processes = {name: pid for name in _processes(suite) if (pid := suite.pid(name))}
    while not over.is_set():
        samples.append(await asyncio.to_thread(_memory, processes))
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), _SAMPLE_SECONDS)


def _processes(suite: Cluster) -> Iterator[str]:
    """All but what only stands in for the outside world, and what has ended when it was done."""
    return (name for name in suite.supervisor.children if not name.startswith("standins"))


def _memory(processes: Mapping[str, int]) -> dict[str, float]:
    """Resident MB of each with all that it has started. PostgreSQL's share their buffers, of a size that the
    settings give, and are counted without them."""
    found = {}
    for name, pid in processes.items():
        process = psutil.Process(pid)
        total = 0
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += each.memory_full_info().uss if name == "postgres" else each.memory_info().rss
        found[name] = total / _MB
    return found


def _flat(seen: _Seen, at_most: float | None, load: Mapping[str, float]) -> Result:
    """The last quarter over the second; the first is for warming up."""
    quarter = len(seen.memory) // _QUARTERS
    grown, shown, courses = {}, {}, {}
    thinned = max(1, len(seen.memory) // _DRAWN)
    for name in seen.memory[0]:
        values = [sample[name] for sample in seen.memory]
        second, last = median(values[quarter : 2 * quarter]), median(values[-quarter:])
        grown[name] = last / second
        courses[name] = [value / second for value in values[::thinned]]
        shown[f"{name} MB"] = f"{second:.1f} then {last:.1f}"
    worst = max(grown, key=grown.__getitem__)
    return Result(
        workload="hour, memory",
        unit="× after a quarter, the worst process",
        figures=[grown[worst]],
        at_most=at_most,
        memory=seen.peaks,
        also={"worst": worst, **load, **shown},
        courses=courses,
        across=("× the second quarter's memory, from the start", "to the end"),
    )


# Tables and topics


async def _ages(suite: Cluster, seen: _Seen) -> Result:
    """The oldest row's age over the stated bound and one turn of what removes it."""
    now = ManualClock(suite.clock).now()
    ratios, shown = {}, {}
    unfilled, unremoved = [], []
    for name, age in _aged().items():
        service, table = name.split(".")
        column = f"{age.column} + 1" if age.a_day else age.column
        oldest = await _value(
            suite, service, f'SELECT min({column})::timestamptz FROM "{table}" WHERE {age.where}'
        )
        [[written, removed]] = await _rows(
            suite,
            service,
            f"SELECT n_tup_ins, n_tup_del FROM pg_stat_user_tables WHERE relname = '{table}'",
        )
        if not removed:
            (unremoved if written else unfilled).append(name)
        state = "empty"
        if oldest is not None:
            old = (datetime.now(UTC) if age.wall else now) - oldest
            ratios[name] = old / (age.kept + age.every)
            state = f"{_days(old)} of {_days(age.kept)} and {_days(age.every)} days"
        shown[name] = f"{state}, {removed} of {written} rows removed"
    return Result(
        workload="hour, tables bounded by age",
        unit="of the bound, the oldest row",
        figures=[max(ratios.values(), default=0.0)],
        at_most=1,
        memory=seen.peaks,
        also=shown,
        note=f"never a row in {', '.join(unfilled) or 'none'}; nothing removed of "
        f"{', '.join(unremoved) or 'none'}: what bounds these was not seen at work",
    )


def _aged() -> dict[str, bounds.Age]:
    return {
        name: each.age
        for each in bounds.read(bounds.DOCUMENT.read_text(), "Tables")
        if each.age
        for name in each.names
    }


def _days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):.3g}"


async def _rest(suite: Cluster, seen: _Seen) -> Result:
    """What is wrong at rest: rows where none should be, a key twice, topics kept otherwise or longer."""
    wrong = 0
    shown: dict[str, float | str] = {}
    for each in bounds.read(bounds.DOCUMENT.read_text(), "Tables"):
        for service, table in (name.split(".") for name in each.names):
            # Nothing is parked where nothing is malformed and everything runs.
            if each.empty_at_rest or table == "parked":
                what, rows = "rows left", f'"{table}"'
            elif each.key:
                columns = ", ".join(f'"{column}"' for column in each.key)
                what = "keys twice"
                rows = f'(SELECT FROM "{table}" GROUP BY {columns} HAVING count(*) > 1) again'
            else:
                continue
            if count := int(await _value(suite, service, f"SELECT count(*) FROM {rows}")):
                wrong += count
                shown[f"{what} in {service}.{table}"] = count
    oldest = _oldest(suite)
    for name in await asyncio.to_thread(_kept_otherwise, suite, oldest):
        wrong += 1
        shown[f"topic {name}"] = "not kept as stated"
    return Result(
        workload="hour, left at rest",
        unit="rows, keys and topics",
        figures=[wrong],
        at_most=0,
        memory=seen.peaks,
        also={
            **shown,
            **_growth(seen),
            **_logs(suite),
            "the topics' oldest record, days": _days(max(oldest.values())),
        },
        note="topics go by the machine's clock: none was old enough for anything to be removed of it",
    )


def _kept_otherwise(suite: Cluster, oldest: Mapping[str, timedelta]) -> list[str]:
    plans = [*map(provision.plan, TOPICS), *provision.dead_letter_plans()]
    admin = AdminClient(dict(suite.stack.kafka.settings("admin")))
    asked = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, plan.name) for plan in plans])
    found = {resource.name: future.result() for resource, future in asked.items()}
    return [
        plan.name
        for plan in plans
        if any(found[plan.name][name].value != value for name, value in plan.config.items())
        or ("retention.ms" in plan.config and oldest.get(plan.name, timedelta()) > _longest(plan.config))
    ]


def _longest(config: Mapping[str, str]) -> timedelta:
    """A segment goes as a whole, when its newest record is too old."""
    return timedelta(milliseconds=int(config["retention.ms"]) + int(config["segment.ms"]))


def _oldest(suite: Cluster) -> dict[str, timedelta]:
    """How long ago each topic's oldest batch was appended: its instant is in a segment's bytes 35 to 43."""
    found: dict[str, timedelta] = {}
    for topic, file in _segments(suite):
        with file.open("rb") as segment:
            if len(head := segment.read(43)) == 43:
                at = datetime.fromtimestamp(int.from_bytes(head[35:]) / 1000, UTC)
                found[topic] = max(found.get(topic, timedelta()), datetime.now(UTC) - at)
    return found


def _growth(seen: _Seen) -> dict[str, str]:
    """The largest tables at each quarter's end, beside the requests that fed them."""
    last = seen.tables[-1]
    largest = sorted(last, key=lambda name: last[name].mb, reverse=True)[:_LARGEST]
    return {
        "requests by quarter": _then(seen.requests),
        **{
            f"{name} MB (live, dead)": f"{_then([f'{one[name].mb:.1f}' for one in seen.tables])} "
            f"({last[name].live}, {last[name].dead})"
            for name in largest
        },
        "all tables MB": _then([f"{sum(each.mb for each in one.values()):.0f}" for one in seen.tables]),
    }


def _then(values: Sequence[Any]) -> str:
    return " → ".join(map(str, values))


def _logs(suite: Cluster) -> dict[str, float]:
    """MB on disk, of the largest topics and of all."""
    sizes: dict[str, float] = {}
    for topic, file in _segments(suite):
        sizes[topic] = sizes.get(topic, 0.0) + file.stat().st_size / _MB
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:_LARGEST]
    return {**{f"{topic} log MB": sizes[topic] for topic in largest}, "all logs MB": sum(sizes.values())}


def _segments(suite: Cluster) -> Iterator[tuple[str, Path]]:
    for file in (suite.folder.root / suite.brokers[0] / "log").glob("*-*/*.log"):
        yield file.parent.name.rpartition("-")[0], file


async def _tables(suite: Cluster) -> dict[str, _Extent]:
    found = {}
    for service in SERVICES:
        for row in await _rows(
            suite,
            service,
            "SELECT relname, pg_total_relation_size(relid), n_live_tup, n_dead_tup FROM pg_stat_user_tables",
        ):
            found[f"{service}.{row[0]}"] = _Extent(row[1] / _MB, row[2], row[3])
    return found


async def _value(suite: Cluster, service: str, sql: str) -> Any:
    return (await _rows(suite, service, sql))[0][0]


async def _rows(suite: Cluster, service: str, sql: str) -> Sequence[Any]:
    connection = await asyncpg.connect(suite.stack.postgres.url(service))
    try:
        found: Sequence[Any] = await connection.fetch(sql)
        return found
    finally:
        await connection.close()
