"""Everything that can be seen with the databases and topics at hand, and what of it doesn't fit."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from souk.checker import clicks, deliveries, ledger, parked
from souk.checker.copies import Comparison, Role
from souk.checker.database import Connection, reading, snapshot
from souk.checker.finding import Finding
from souk.checker.places import COPIES, OWNERS, Place
from souk.checker.topics import Log, Told, TopicReader, topic_reader
from souk.contracts.topic import Service, Topic
from souk.contracts.topics import TOPICS
from souk.contracts.topics.deliveries import Delivery

_FIRST_PAUSE, _LAST_PAUSE = 0.25, 2.0


@dataclass(frozen=True, slots=True)
class Report:
    """checked: records by topic, rows by table and topic, questions asked of single databases."""

    findings: Sequence[Finding]
    checked: Mapping[str, Any]


async def check(
    databases: Mapping[Service, str],
    kafka: Mapping[str, Any],
    *,
    topics: Sequence[Topic[Any]] = TOPICS,
    now: datetime | None = None,
    patience: float = 10.0,
    told: Told | None = None,
) -> Report:
    """Read the topics, the databases of these services, and say what doesn't fit.

    databases: postgresql://… by service; it is enough that the login can read. kafka: keyword arguments of
    an aiokafka client whose principal can read `topics`. now: the suite's clock, wall time when None.
    patience: for how many seconds what differs is looked at again, since services go on meanwhile and
    copies lag; 0 for none. told: what topics told at earlier looks, to go on with.

    Raises what asyncpg and aiokafka raise, TimeoutError for a Kafka that is silent.
    """
    now = now or datetime.now(UTC)
    findings: list[Finding] = []
    checked: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(topic_reader(kafka))
        connections: dict[Service, Connection] = {
            service: await stack.enter_async_context(reading(url)) for service, url in databases.items()
        }
        if told is None:
            told = Told()
            stack.callback(told.close)
        logs: list[Log] = []
        for topic in topics:
            log = Log(topic, told)
            stack.callback(log.close)
            logs.append(log)
            await reader.read(log)
        comparisons = [one for log in logs for one in _comparisons(log, connections, now)]
        for one in comparisons:
            await one.look()
        await _look_again(reader, logs, comparisons, patience)
        for log in logs:
            findings += (*log.unreadable(), *told.forks(log.topic.name), *log.stale())
            if log.topic.state is Delivery:
                findings += deliveries.sent_again(log)
        for one in comparisons:
            findings += one.findings()
        checked["topics"] = {log.topic.name: log.records for log in logs}
        checked["rows"] = {
            f"{one.place.service}.{one.place.table} {one.log.topic.name}": one.rows for one in comparisons
        }
    for service, url in databases.items():
        async with snapshot(url) as connection:
            findings += await parked.parked(connection, service)
            if service == "billing":
                findings += await ledger.check(connection)
                checked["postings"] = await connection.fetchval("SELECT count(*) FROM posting")
            if service == "tracking":
                findings += await clicks.counts(connection, now)
            if service == "notify":
                findings += await deliveries.told_twice(connection)
                checked["deliveries"] = await connection.fetchval("SELECT count(*) FROM delivery")
    return Report(sorted(findings), checked)


def _comparisons(log: Log, connections: Mapping[Service, Connection], now: datetime) -> list[Comparison]:
    owner = OWNERS.get(log.topic.state)
    places: list[tuple[Role, Place]] = [("copy", place) for place in COPIES.get(log.topic.state, ())]
    if owner is not None:
        places.append(("owner", owner))
    return [
        Comparison(log, place, role, connections[place.service], now)
        for role, place in places
        if place.service in connections
    ]


async def _look_again(
    reader: TopicReader, logs: Sequence[Log], comparisons: Sequence[Comparison], patience: float
) -> None:
    until, pause = monotonic() + patience, _FIRST_PAUSE
    while monotonic() < until:
        doubtful = {id(one.log) for one in comparisons if one.is_suspicious}
        doubtful |= {id(log) for log in logs if log.stale()}
        if not doubtful:
            return
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LAST_PAUSE)
        for log in logs:
            if id(log) in doubtful:
                await reader.read(log)
        for one in comparisons:
            await one.look_again()
