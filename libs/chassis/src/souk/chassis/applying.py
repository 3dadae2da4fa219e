"""One batch of records in one transaction: fence, handlers, positions; and what to do with a bad record."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from time import perf_counter
from typing import Any
from uuid import UUID

from aiokafka import TopicPartition
from sqlalchemy import text

from souk.chassis import envelope, fence, parking
from souk.chassis.breaker import Breaker
from souk.chassis.database import is_transient
from souk.chassis.errors import explain
from souk.chassis.intake import Intake
from souk.chassis.metrics import HANDLER_SECONDS, RECORDS_APPLIED
from souk.chassis.record import Record, partition_of
from souk.chassis.telemetry import consume_span
from souk.chassis.work import Units, Work
from souk.contracts.state import State

log = logging.getLogger(__name__)

Believed = Mapping[TopicPartition, fence.Position]

_CHECK_NOW = text("SET CONSTRAINTS ALL IMMEDIATE")
_ANY_PARKED = text('SELECT EXISTS (SELECT FROM parked WHERE "group" = :group)')


class UnreadableError(Exception):
    """A record whose value is no state of its topic."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """positions: where the database now stands. breakers: of the partitions whose breaker changed;
    those that are open stopped before the rest of their records."""

    positions: dict[TopicPartition, fence.Position]
    breakers: dict[TopicPartition, Breaker]


async def apply(
    units: Units,
    intake: Intake,
    records: Sequence[Record],
    believed: Believed,
    *,
    breakers: Mapping[TopicPartition, Breaker],
    park_run: int,
) -> Outcome:
    """Apply `records` once, whatever happened to them before.

    believed: where this worker thinks the database stands; records of other partitions are left alone.
    Raises MovedError when it stands elsewhere, and whatever is transient; then nothing is changed.
    """
    mine = sorted(
        (record for record in records if partition_of(record) in believed),
        key=_order(intake),
    )
    if not mine:
        return Outcome({}, {})
    if not any(
        breakers[each].is_open for each in {partition_of(record) for record in mine} if each in breakers
    ):
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
    units: Units, intake: Intake, records: Sequence[Record], believed: Believed
) -> dict[TopicPartition, fence.Position]:
    async with units.begin() as work:
        fresh, moved = await _pass_fence(work, intake, records, believed)
        if fresh:
            if await work.scalar(_ANY_PARKED, {"group": intake.group}):
                await parking.supersede(work, intake.group, parking.keys_of(fresh))
            for topic, same_topic in groupby(fresh, key=lambda record: record.topic):
                await _handle(work, intake, topic, list(same_topic))
        await fence.move(work, intake.group, moved)
    for topic, same_topic in groupby(fresh, key=lambda record: record.topic):
        RECORDS_APPLIED.labels(topic).inc(len(list(same_topic)))
    return moved


async def _apply_singly(
    units: Units,
    intake: Intake,
    records: Sequence[Record],
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
        fresh, moved = await _pass_fence(work, intake, records, believed)
        for record in fresh:
            partition = partition_of(record)
            if partition in stopped:
                continue
            breaker = changed.get(partition) or breakers.get(partition) or Breaker(park_run)
            try:
                async with work.savepoint():
                    await parking.supersede(work, intake.group, parking.keys_of([record]))
                    await _handle(work, intake, record.topic, [record])
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
    work: Work, intake: Intake, records: Sequence[Record], believed: Believed
) -> tuple[list[Record], dict[TopicPartition, fence.Position]]:
    """The records that aren't applied yet, and the positions after them."""
    partitions = {partition_of(record) for record in records}
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
    fresh = [record for record in records if record.offset >= stored[partition_of(record)].next_offset]
    moved = dict(stored)
    for record in fresh:
        moved[partition_of(record)] = fence.Position(
            believed[partition_of(record)].topic_id, record.offset + 1
        )
    return fresh, moved


async def _handle(work: Work, intake: Intake, topic: str, records: Sequence[Record]) -> None:
    subscription = intake.subscriptions[topic]
    parse = subscription.topic.parse
    states: list[State] = []
    for record in records:
        try:
            if record.value is None:
                raise UnreadableError("the record has no value")
            states.append(parse(record.value))
        except ValueError as error:
            raise UnreadableError(explain(error)) from error
    started = perf_counter()
    traces = [_traceparent(record) for record in records]
    with consume_span(topic, traces, [_ids(state) for state in states]) as causes:
        work.trace_causes(causes)
        await subscription.handler(work, states)
    HANDLER_SECONDS.labels(topic).observe(perf_counter() - started)


def _traceparent(record: Record) -> str | None:
    for name, value in reversed(record.headers):
        if name == envelope.TRACEPARENT and value is not None:
            return value.decode("ascii", "replace")
    return None


def _ids(state: State) -> Iterator[UUID]:
    return (value for value in state.__dict__.values() if type(value) is UUID)


def _order(intake: Intake) -> Any:
    rank = {topic: number for number, topic in enumerate(intake.subscriptions)}
    return lambda record: (rank[record.topic], record.partition, record.offset)


def _closed(
    records: Sequence[Record], breakers: Mapping[TopicPartition, Breaker]
) -> dict[TopicPartition, Breaker]:
    """A batch without a fault ends the runs of its partitions."""
    return {
        each: Breaker(breakers[each].limit)
        for each in {partition_of(record) for record in records}
        if each in breakers
    }
