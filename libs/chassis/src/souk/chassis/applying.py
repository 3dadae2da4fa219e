"""One batch of records in one transaction: fence, handlers, positions; and what to do with a bad record."""

import asyncio
import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from time import perf_counter
from uuid import UUID

from aiokafka import TopicPartition
from sqlalchemy import text

from souk.chassis import envelope, fence, parking
from souk.chassis.breaker import Breaker
from souk.chassis.database import is_transient
from souk.chassis.errors import explain
from souk.chassis.intake import Intake
from souk.chassis.metrics import HANDLER_SECONDS, RECORDS_APPLIED
from souk.chassis.prepared import Prepared
from souk.chassis.record import Record, partition_of
from souk.chassis.telemetry import consume_span, is_tracing
from souk.chassis.work import Units, Work
from souk.contracts.state import State

log = logging.getLogger(__name__)

Believed = Mapping[TopicPartition, fence.Position]

_CHECK_NOW = text("SET CONSTRAINTS ALL IMMEDIATE")
_ANY_PARKED = Prepared(text('SELECT 1 FROM parked WHERE "group" = :group LIMIT 1'))
_AT_ONCE = 200
"""Records that are parsed in one go: while the event loop waits for them, no statement and no heartbeat is
sent."""


class UnreadableError(Exception):
    """A record whose value is no state of its topic."""


@dataclass(frozen=True, slots=True)
class Run:
    """Records of one partition in offset order, and their states: fewer when one of them can't be read."""

    partition: TopicPartition
    records: Sequence[Record]
    states: Sequence[State]

    def since(self, offset: int) -> "Run":
        """What is left of it from `offset` on."""
        first = bisect_left(self.records, offset, key=lambda record: record.offset)
        return Run(self.partition, self.records[first:], self.states[first:]) if first else self


@dataclass(frozen=True, slots=True)
class Outcome:
    """positions: where the database now stands. breakers: of the partitions whose breaker changed;
    those that are open stopped before the rest of their records."""

    positions: dict[TopicPartition, fence.Position]
    breakers: dict[TopicPartition, Breaker]


async def read(intake: Intake, records: Sequence[Record]) -> list[Run]:
    """Parse `records`, which come in offset order, into runs in the order in which they are applied.

    Needs no database, so that it can be done while the batch before is being applied.
    """
    by_partition: dict[TopicPartition, list[Record]] = {}
    for key, several in groupby(records, key=partition_of):
        by_partition.setdefault(key, []).extend(several)
    rank = {topic: number for number, topic in enumerate(intake.subscriptions)}
    runs = []
    for key in sorted(by_partition, key=lambda each: (rank[each.topic], each.partition)):
        states: list[State] = []
        parse = intake.subscriptions[key.topic].topic.parse
        with suppress(UnreadableError):
            for start in range(0, len(by_partition[key]), _AT_ONCE):
                states += _parsed(parse, by_partition[key][start : start + _AT_ONCE])
                await asyncio.sleep(0)
        runs.append(Run(key, by_partition[key], states))
    return runs


async def apply(
    units: Units,
    intake: Intake,
    runs: Sequence[Run],
    believed: Believed,
    *,
    breakers: Mapping[TopicPartition, Breaker],
    park_run: int,
) -> Outcome:
    """Apply `runs` once, whatever happened to them before.

    believed: where this worker thinks the database stands; records of other partitions are left alone.
    Raises MovedError when it stands elsewhere, and whatever is transient; then nothing is changed.
    """
    mine = [run for run in runs if run.partition in believed]
    if not mine:
        return Outcome({}, {})
    is_readable = all(len(run.states) == len(run.records) for run in mine)
    if is_readable and not any(breakers[run.partition].is_open for run in mine if run.partition in breakers):
        try:
            return Outcome(await _apply_whole(units, intake, mine, believed), _closed(mine, breakers))
        except fence.MovedError:
            raise
        except Exception as error:
            if is_transient(error):
                raise
            log.warning("a batch failed and is applied record by record: %s", explain(error))
    return await _apply_singly(units, intake, mine, believed, breakers=breakers, park_run=park_run)


async def _apply_whole(
    units: Units, intake: Intake, runs: Sequence[Run], believed: Believed
) -> dict[TopicPartition, fence.Position]:
    async with units.begin() as work:
        fresh, moved = await _pass_fence(work, intake, runs, believed)
        if fresh:
            if await work.run(_ANY_PARKED, {"group": intake.group}):
                await parking.supersede(work, intake.group, parking.keys_of(_records(fresh)))
            for topic, same_topic in groupby(fresh, key=lambda run: run.partition.topic):
                await _handle(work, intake, topic, list(same_topic))
        await fence.move(work, intake.group, moved)
    for run in fresh:
        RECORDS_APPLIED.labels(run.partition.topic).inc(len(run.records))
    return moved


async def _apply_singly(
    units: Units,
    intake: Intake,
    runs: Sequence[Run],
    believed: Believed,
    *,
    breakers: Mapping[TopicPartition, Breaker],
    park_run: int,
) -> Outcome:
    """Each record under a savepoint of its own; what fails is parked, until the breaker refuses."""
    changed: dict[TopicPartition, Breaker] = {}
    stopped: set[TopicPartition] = set()
    applied: Counter[str] = Counter()
    async with units.begin() as work:
        fresh, moved = await _pass_fence(work, intake, runs, believed)
        for record in _records(fresh):
            partition = partition_of(record)
            if partition in stopped:
                continue
            breaker = changed.get(partition) or breakers.get(partition) or Breaker(park_run)
            try:
                async with work.savepoint():
                    await parking.supersede(work, intake.group, parking.keys_of([record]))
                    states = _parsed(intake.subscriptions[record.topic].topic.parse, [record])
                    await _handle(work, intake, record.topic, [Run(partition, [record], states)])
                    # A constraint that is checked at the commit must speak up while it is known whose it is.
                    await work.execute(_CHECK_NOW)
                changed[partition] = breaker.applied()
                applied[record.topic] += 1
            except Exception as error:
                if is_transient(error):
                    raise
                if breaker.refuses():
                    stopped.add(partition)
                    changed[partition] = breaker.stopped()
                    moved[partition] = fence.Position(believed[partition].topic_id, record.offset)
                    log.error(
                        "%s partition %d stops at offset %d for %.0f s, too much is parked: %s",
                        *(record.topic, record.partition, record.offset),
                        *(changed[partition].pause, explain(error)),
                    )
                else:
                    await parking.park(work, intake.group, record, error)
                    changed[partition] = breaker.parked()
                    log.error(
                        "%s partition %d offset %d is parked: %s",
                        *(record.topic, record.partition, record.offset, explain(error)),
                    )
        await fence.move(work, intake.group, moved)
    for topic, count in applied.items():
        RECORDS_APPLIED.labels(topic).inc(count)
    return Outcome(moved, changed)


async def _pass_fence(
    work: Work, intake: Intake, runs: Sequence[Run], believed: Believed
) -> tuple[list[Run], dict[TopicPartition, fence.Position]]:
    """What of the runs isn't applied yet, and the positions after it."""
    partitions = {run.partition for run in runs}
    stored = await fence.lock(work, intake.group, partitions)
    astray = {
        each
        for each in partitions
        if each not in stored
        or stored[each].topic_id != believed[each].topic_id
        or stored[each].next_offset < believed[each].next_offset
    }
    if astray:
        raise fence.MovedError(astray)
    left = (run.since(stored[run.partition].next_offset) for run in runs)
    fresh = [run for run in left if run.records]
    moved = dict(stored)
    for run in fresh:
        topic_id = believed[run.partition].topic_id
        moved[run.partition] = fence.Position(topic_id, run.records[-1].offset + 1)
    return fresh, moved


async def _handle(work: Work, intake: Intake, topic: str, runs: Sequence[Run]) -> None:
    states = [state for run in runs for state in run.states]
    started = perf_counter()
    traces = [_traceparent(record) for record in _records(runs)] if is_tracing() else []
    with consume_span(topic, traces, [_ids(state) for state in states] if traces else ()) as causes:
        work.trace_causes(causes)
        await intake.subscriptions[topic].handler(work, states)
    HANDLER_SECONDS.labels(topic).observe(perf_counter() - started)


def _parsed(parse: Callable[[bytes], State], records: Sequence[Record]) -> list[State]:
    """Raises UnreadableError."""
    try:
        return [parse(record.value) for record in records]  # type: ignore[arg-type]
    except Exception as error:
        # Whatever a validator raises, the record is what can't be read: nothing else was asked.
        if any(record.value is None for record in records):
            raise UnreadableError("the record has no value") from error
        raise UnreadableError(explain(error)) from error


def _records(runs: Sequence[Run]) -> list[Record]:
    return [record for run in runs for record in run.records]


def _traceparent(record: Record) -> str | None:
    for name, value in reversed(record.headers):
        if name == envelope.TRACEPARENT and value is not None:
            return value.decode("ascii", "replace")
    return None


def _ids(state: State) -> Iterator[UUID]:
    return (value for value in state.__dict__.values() if type(value) is UUID)


def _closed(runs: Sequence[Run], breakers: Mapping[TopicPartition, Breaker]) -> dict[TopicPartition, Breaker]:
    """A batch without a fault ends the runs of its partitions."""
    return {
        run.partition: Breaker(breakers[run.partition].limit) for run in runs if run.partition in breakers
    }
