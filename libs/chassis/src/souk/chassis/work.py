"""The unit of work: one transaction, the instant it happens at, and what it says to the world.

A route, a subscription batch or a due timer opens one and commits it once; handlers and stores never
commit. What a unit publishes and schedules is written when it commits, so that it is there if and only
if the rest is.
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, LargeBinary, SmallInteger, Text, bindparam, text
from sqlalchemy.engine import CursorResult, Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql import Executable

from souk.chassis import envelope, telemetry
from souk.chassis.clock import Clock, to_micros
from souk.chassis.database import is_transient
from souk.chassis.errors import explain
from souk.chassis.prepared import Found, Prepared
from souk.contracts.state import State
from souk.contracts.topics import TOPICS, Topic

log = logging.getLogger(__name__)

T = TypeVar("T")
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]

SHARDS = 4
"""Of an outbox. A shard is a range of partition numbers, so everything of one campaign is in one."""
LARGEST_PAYLOAD = 900_000
"""Bytes. Kafka takes 1 MiB a record; a record that it refuses would stop its shard for good."""
_LOST_AT_ONCE = 10
"""Connections that a pool may hold, and a restart of the server end, all at once."""
_RETRIES = (0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0)

_BEGIN = {
    False: "BEGIN ISOLATION LEVEL READ COMMITTED",
    True: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
}
_INSERT_OUTBOX = Prepared(
    text(
        "INSERT INTO outbox (shard, topic, partition, key, headers, payload) "
        "SELECT * FROM unnest(:shards, :topics, :partitions, :keys, :headers, :payloads) "
        # A transaction has its number before its rows have their ids: the relay relies on it (decision 0019).
        "WHERE pg_current_xact_id() IS NOT NULL"
    ).bindparams(
        bindparam("shards", type_=ARRAY(SmallInteger)),
        bindparam("topics", type_=ARRAY(Text)),
        bindparam("partitions", type_=ARRAY(SmallInteger)),
        bindparam("keys", type_=ARRAY(LargeBinary)),
        bindparam("headers", type_=ARRAY(LargeBinary)),
        bindparam("payloads", type_=ARRAY(LargeBinary)),
    )
)
_UPSERT_TIMERS = Prepared(
    text(
        "INSERT INTO timer (kind, subject, due_at, data, traceparent) "
        "SELECT kind, subject, due_at, data::jsonb, traceparent "
        "FROM unnest(:kinds, :subjects, :due, :data, :traceparents) "
        "AS t (kind, subject, due_at, data, traceparent) "
        "ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at, data = excluded.data, "
        "traceparent = excluded.traceparent, attempts = 0, next_attempt_at = '-infinity', error = NULL"
    ).bindparams(
        bindparam("kinds", type_=ARRAY(Text)),
        bindparam("subjects", type_=ARRAY(Text)),
        bindparam("due", type_=ARRAY(DateTime(timezone=True))),
        bindparam("data", type_=ARRAY(Text)),
        bindparam("traceparents", type_=ARRAY(Text)),
    )
)
_DELETE_TIMERS = Prepared(
    text(
        "DELETE FROM timer t USING unnest(:kinds, :subjects) AS gone (kind, subject) "
        "WHERE t.kind = gone.kind AND t.subject = gone.subject"
    ).bindparams(bindparam("kinds", type_=ARRAY(Text)), bindparam("subjects", type_=ARRAY(Text)))
)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A record on its way: what the relay will hand to Kafka as it is."""

    shard: int
    topic: str
    partition: int
    key: bytes
    headers: bytes
    payload: bytes


def shard_of(partition: int) -> int:
    return partition * SHARDS // 12 % SHARDS


class Work:
    """One unit of work.

    connection: SQLAlchemy Core on asyncpg, inside the unit's transaction (see `Units.begin`).
    now: the suite's clock when the unit began; it doesn't move while the unit lasts.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        now: datetime,
        source: str,
        topics: Mapping[type[State], Topic[Any]],
        *,
        read_only: bool,
    ) -> None:
        self.connection = connection
        self.now = now
        self._source = source
        self._topics = topics
        self._read_only = read_only
        self._outbox: list[OutboxRow] = []
        self._timers: dict[tuple[str, str], tuple[datetime, str, str | None] | None] = {}
        self._causes: Mapping[UUID, str] = {}

    def new_id(self) -> UUID:
        """A new id that sorts by the suite's clock (UUID version 7)."""
        random = int.from_bytes(os.urandom(10), "big")
        milliseconds = to_micros(self.now) // 1000
        high = milliseconds << 16 | 0x7000 | random >> 68
        return UUID(int=high << 64 | 1 << 63 | random & (1 << 62) - 1)

    def publish(self, event: str, *states: State) -> None:
        """Put `states` on their topic when the unit commits, in the order of the calls.

        event: past tense, one of the topic's `events`. The caller has locked each state's aggregate
        row before, so that records of one aggregate keep the order of the commits, and has incremented
        its version. Raises ValueError for an event that the topic doesn't know, KeyError for a state
        that no topic carries.
        """
        for state in states:
            topic = self._topics[type(state)]
            if event not in topic.events:
                raise ValueError(f"{topic.name} has no event {event!r}")
            self._put(topic, event, state)

    def republish(self, *states: State) -> None:
        """Put `states`, as they are, on their topic once more; the aggregates' rows are locked.

        Their event is `<aggregate>.republished`: nothing happened, so no version changes.
        """
        for state in states:
            topic = self._topics[type(state)]
            self._put(topic, f"{topic.events[0].partition('.')[0]}.republished", state)

    def send(self, row: OutboxRow) -> None:
        """Put a ready record into the outbox when the unit commits (dead-letter copies)."""
        if self._read_only:
            raise RuntimeError("a read-only unit of work publishes nothing")
        if len(row.payload) > LARGEST_PAYLOAD:
            raise ValueError(f"a record of {len(row.payload)} bytes on {row.topic}: too large for Kafka")
        self._outbox.append(row)

    def schedule(self, kind: str, subject: UUID | str, due_at: datetime, **data: Any) -> None:
        """Have the timer `kind` of `subject` fire at `due_at`; replaces one that is set already.

        data: JSON values, given to the handler as they are. What the timer does goes on with the trace of
        whoever set it last. One set from within a timer of its own kind begins a trace: otherwise the
        runs of what is done daily would be one trace without end.
        """
        to_micros(due_at)
        traceparent = None if telemetry.is_within_timer(kind) else self._traceparent((subject,))
        self._timers[kind, str(subject)] = (due_at, json.dumps(data), traceparent)

    def cancel(self, kind: str, subject: UUID | str) -> None:
        """Have the timer `kind` of `subject` not fire; nothing happens when none is set."""
        self._timers[kind, str(subject)] = None

    def is_scheduled(self, kind: str, subject: str) -> bool:
        """Whether this unit itself has set that timer."""
        return self._timers.get((kind, subject)) is not None

    async def run(self, statement: Prepared, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """The rows that `statement` gives. Errors are asyncpg's own."""
        found: list[Any] = await _driver_of(self.connection).fetch(
            statement.sql, *statement.arguments(parameters), record_class=Found
        )
        return found

    async def execute(self, statement: Executable, parameters: Parameters | None = None) -> CursorResult[Any]:
        return await self.connection.execute(statement, parameters)

    async def fetch_one(self, statement: Executable, parameters: Parameters | None = None) -> Row[Any] | None:
        """The first row, or None. Raises nothing when there are more."""
        return (await self.connection.execute(statement, parameters)).first()

    async def fetch_all(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> Sequence[Row[Any]]:
        return (await self.connection.execute(statement, parameters)).all()

    async def scalar(self, statement: Executable, parameters: Parameters | None = None) -> Any:
        """The first column of the first row, or None."""
        return (await self.connection.execute(statement, parameters)).scalar()

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part that can fail alone: an error undoes its rows, records and timers, and is raised."""
        outbox, timers = len(self._outbox), dict(self._timers)
        try:
            async with self.connection.begin_nested():
                yield
        except BaseException:
            del self._outbox[outbox:]
            self._timers = timers
            raise

    def trace_causes(self, causes: Mapping[UUID, str]) -> None:
        """Say which trace each id of a batch belongs to, so that what a record causes continues its trace.

        causes: traceparent by the id of a record's aggregate.
        """
        self._causes = causes

    async def write(self) -> tuple[bool, bool]:
        """Write what was published and scheduled; (whether there were records, whether there were timers).

        Called once, by whoever opened the unit, just before the commit.
        """
        timers, outbox = self._timers, self._outbox
        if self._read_only and timers:
            raise RuntimeError("a read-only unit of work schedules nothing")
        # In one order everywhere, so that two units that set the same timers can't wait for each other.
        keys = sorted(timers)
        due = [(key, value) for key in keys if (value := timers[key]) is not None]
        gone = [key for key in keys if timers[key] is None]
        if due:
            await self.run(
                _UPSERT_TIMERS,
                {
                    "kinds": [kind for (kind, _), _ in due],
                    "subjects": [subject for (_, subject), _ in due],
                    "due": [due_at for _, (due_at, _, _) in due],
                    "data": [data for _, (_, data, _) in due],
                    "traceparents": [traceparent for _, (_, _, traceparent) in due],
                },
            )
        if gone:
            await self.run(
                _DELETE_TIMERS, {"kinds": [kind for kind, _ in gone], "subjects": [s for _, s in gone]}
            )
        if outbox:
            await self.run(
                _INSERT_OUTBOX,
                {
                    "shards": [row.shard for row in outbox],
                    "topics": [row.topic for row in outbox],
                    "partitions": [row.partition for row in outbox],
                    "keys": [row.key for row in outbox],
                    "headers": [row.headers for row in outbox],
                    "payloads": [row.payload for row in outbox],
                },
            )
        return bool(outbox), bool(due)

    def _put(self, topic: Topic[Any], event: str, state: State) -> None:
        key = topic.key(state)
        partition = topic.partition(state)
        headers = envelope.encode(
            source=self._source,
            event=event,
            subject=key.decode(),
            schema=topic.schema_id,
            time=self.now,
            traceparent=self._traceparent(state.__dict__.values()),
        )
        self.send(OutboxRow(shard_of(partition), topic.name, partition, key, headers, topic.dump(state)))

    def _traceparent(self, about: Iterable[object]) -> str | None:
        """The trace to go on with: of the record about one of the ids in `about`, else the current."""
        if self._causes:
            for value in about:
                if type(value) is UUID and value in self._causes:
                    return self._causes[value]
        return telemetry.current_traceparent()


class Units:
    """Opens units of work on one database; built once, in main.py.

    outbox_written, timer_set: set whenever a unit of this process committed records or timers, so that
    the relay and the timers of the same process needn't wait for their next poll.
    """

    def __init__(
        self, engine: AsyncEngine, clock: Clock, service: str, topics: Iterable[Topic[Any]] = TOPICS
    ) -> None:
        self.engine = engine
        self.clock = clock
        self.service = service
        self.outbox_written = asyncio.Event()
        self.timer_set = asyncio.Event()
        self._topics = {topic.state: topic for topic in topics}

    @asynccontextmanager
    async def begin(self, *, read_only: bool = False) -> AsyncIterator[Work]:
        """A unit of work: commits at the end of the block, rolls back when it raises.

        read_only: PostgreSQL refuses every write, and publishing raises RuntimeError. All that it reads is
        of one snapshot, taken by its first statement; others read what was committed before each statement.
        """
        async with self._transaction(_BEGIN[read_only]) as connection:
            work = Work(
                connection,
                self.clock.now(),
                f"/souk/{self.service}",
                self._topics,
                read_only=read_only,
            )
            yield work
            published, scheduled = await work.write()
        if published:
            self.outbox_written.set()
        if scheduled:
            self.timer_set.set()

    @asynccontextmanager
    async def _transaction(self, begin: str) -> AsyncIterator[AsyncConnection]:
        """Of the driver, which needs a third of what SQLAlchemy's own costs."""
        async with aclosing(await self._begun(begin)) as connection:
            driver = _driver_of(connection)
            try:
                yield connection
                ended = await driver.execute("COMMIT")
            except BaseException:
                with suppress(Exception):
                    await _roll_back(driver)
                raise
            if ended != "COMMIT":
                raise RuntimeError("an error in this unit of work was passed over: nothing was committed")

    async def _begun(self, begin: str) -> AsyncConnection:
        """A connection in a new transaction. One that the server has ended may show it no sooner than at its
        BEGIN, which has no effect: then another takes its place."""
        lost = 0
        while True:
            connection = await self.engine.connect()
            driver = _driver_of(connection)
            try:
                await driver.execute(begin)
                return connection
            except BaseException as error:
                # Also of a BEGIN that was cancelled on its way: the pool is not to lend what is half open.
                try:
                    with suppress(Exception):
                        await _roll_back(driver)
                    was_ended = driver.is_closed() and isinstance(error, Exception)
                finally:
                    await connection.close()
                lost += 1
                if not was_ended or isinstance(error, TimeoutError) or lost > _LOST_AT_ONCE:
                    raise

    async def insist(self, act: Callable[[Work], Awaitable[T]]) -> T:
        """What `act` gives in a unit of its own; again from the start, for some 20 s, while what stops it is
        transient (a deadlock, a lost connection).

        It may have been committed all the same: `act` must be harmless when it is done twice.
        """
        for retry in _RETRIES:
            try:
                async with self.begin() as work:
                    return await act(work)
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("done again in %.1f s: %s", retry, explain(error))
            await asyncio.sleep(retry)
        async with self.begin() as work:
            return await act(work)


def _driver_of(connection: AsyncConnection) -> Any:
    """The asyncpg connection."""
    assert connection.sync_connection is not None
    return connection.sync_connection.connection.driver_connection


async def _roll_back(driver: Any) -> None:
    """End the transaction, or the connection when that cannot be told to the server."""
    told = False
    try:
        await driver.execute("ROLLBACK")
        told = True
    finally:
        if not told:
            driver.terminate()
