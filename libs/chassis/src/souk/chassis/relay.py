"""The relay: takes what units of work left in the outbox to Kafka, in order, until Kafka has it.

The outbox is a pending set: a row that is there has not been acknowledged, and that alone is the truth.
A relay owns shards by advisory locks on its own connection, reads their rows in id order, hands over up to
three batches (of one partition Kafka is sent one at a time) and deletes one when Kafka has acknowledged it.
Whatever goes wrong with a send that isn't settled ends the session: the producer is closed, and the next
session starts from the oldest row. Consumers may see a record again for that, never out of order.

A unit that commits late brings a row whose id lies behind what was read already, and a next state of the same
aggregate may lie before it. So what is read is sent only if, in the same snapshot, nothing lies behind it but
what is in flight; else all is read anew from the oldest row.
"""

import asyncio
import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import asyncpg
from aiokafka import AIOKafkaProducer

from souk.chassis import batches, envelope
from souk.chassis.batches import Outgoing
from souk.chassis.database import CONNECT_SECONDS, bare_dsn
from souk.chassis.errors import explain
from souk.chassis.hold import Hold
from souk.chassis.metrics import RELAY_BATCH_ROWS, RELAY_BATCH_SECONDS, RELAY_FAILURES
from souk.chassis.producers import ask_before_sending, silence
from souk.chassis.settings import KafkaAccess
from souk.chassis.telemetry import produce_span
from souk.chassis.work import SHARDS, Units

log = logging.getLogger(__name__)

BATCH = 500
IN_FLIGHT = 3
POLL_SECONDS = 0.04
"""How soon a record of another process is seen; those of this process ring a bell."""
RESCAN_SECONDS = 1.0
SEND_SECONDS = 10.0
TAKEOVER_SECONDS = 25
"""When PostgreSQL gives up a silent connection, and with it the locks: later than the last moment at
which its relay still sends (`Hold`)."""
SETTLE_SECONDS = 0.3
"""Between taking locks and the first send: a relay whose connection was ended hears of it in this time."""
_LOCK_CLASS = 0x736F756B
_MEMBER = 1000
"""The second key of the lock that every relay shares, for counting them; shards are 0, 1, 2 …"""
_MOST_OPEN = 1_000
"""Batches remembered of those behind which a row may still appear."""
_FIRST_RETRY, _LAST_RETRY = 0.2, 10.0

_OLDEST = (
    "SELECT id, topic, partition, key, headers, payload, "
    "EXISTS (SELECT id FROM outbox WHERE shard = ANY($1) AND id > $4 AND id <= $2 "
    "EXCEPT SELECT unnest($5::bigint[])) AS behind, "
    "pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest FROM outbox "
    "WHERE shard = ANY($1) AND id > $2 ORDER BY id LIMIT $3"
)
"""Those above the floor $2. behind: whether others than $5 lie above $4 and not above the floor. oldest:
every transaction with a smaller number has ended."""
_DELETE = (
    "WITH gone AS (DELETE FROM outbox WHERE id = ANY($1::bigint[])) SELECT pg_current_xact_id()::text::bigint"
)
"""The number of this transaction."""


_COUNT_RELAYS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = $1 AND objid = $2 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

Connection = Any
"""An asyncpg connection; the library has no types."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """ids: rising."""

    ids: Sequence[int]
    acknowledged: "asyncio.Future[Any]"
    expires_at: float

    def above(self, floor: int) -> Sequence[int]:
        return self.ids[bisect_right(self.ids, floor) :]


class _Decided:
    """id: a row with an id up to it that was not there to be read will never be.

    The transaction that brings a row has its number before the row has its id, for it has locked or written
    the aggregate. So the number of the one that deletes a batch is greater than that of all that may still
    bring a row behind it: when all smaller ones have ended, nothing behind the batch is open.
    """

    def __init__(self) -> None:
        self.id = 0
        self._open: deque[tuple[int, int]] = deque()

    def deleted(self, last: int, by: int) -> None:
        """A batch that ends with the id `last` was deleted by the transaction `by`."""
        if len(self._open) == _MOST_OPEN:
            self._open.pop()
        self._open.append((last, by))

    def see(self, oldest: int) -> None:
        """Every transaction with a smaller number than `oldest` has ended."""
        while self._open and self._open[0][1] <= oldest:
            self.id = max(self.id, self._open.popleft()[0])


class Relay:
    """Takes one service's outbox to Kafka. Any number may run; they share the shards among them.

    sent: records acknowledged since the start.
    """

    def __init__(self, units: Units, kafka: KafkaAccess) -> None:
        self._units = units
        self._kafka = kafka
        self._stopping = False
        self.sent = 0

    async def run(self) -> None:
        """Relay until cancelled; what is in flight then is awaited, for at most the send time-out."""
        retry = _FIRST_RETRY
        while True:
            started = monotonic()
            try:
                await self._connected()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001  the rows are still there; nothing else holds state
                if monotonic() - started > _LAST_RETRY:
                    retry = _FIRST_RETRY
                RELAY_FAILURES.inc()
                log.warning("relay starts again from the oldest record: %s", explain(error))
                await asyncio.sleep(retry)
                retry = min(retry * 2, _LAST_RETRY)

    async def _connected(self) -> None:
        """One life of a connection and a producer, from the taking of locks to the first failure."""
        connection = await asyncpg.connect(
            bare_dsn(self._units.engine),
            timeout=CONNECT_SECONDS,
            command_timeout=CONNECT_SECONDS,
            server_settings={
                "application_name": f"souk-{self._units.service} relay",
                "tcp_keepalives_idle": "10",
                "tcp_keepalives_interval": "5",
                "tcp_keepalives_count": "3",
                "tcp_user_timeout": str(TAKEOVER_SECONDS * 1000),
            },
        )
        producer = AIOKafkaProducer(
            **self._kafka.client(),
            client_id=f"souk-{self._units.service}-relay",
            enable_idempotence=True,
            acks="all",
            max_batch_size=128 * 1024,
            request_timeout_ms=int(SEND_SECONDS * 1000),
            metadata_max_age_ms=10_000,
        )
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        connection.add_termination_listener(lambda _: ended.cancel())
        hold = Hold(connection, SEND_SECONDS)
        ask_before_sending(producer, hold.is_there)
        relaying = asyncio.create_task(self._relay(connection, producer, hold))
        try:
            await asyncio.wait({relaying, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not relaying.done():
                raise ConnectionError("the connection that holds the relay's locks was ended")
            await relaying
        except asyncio.CancelledError:
            self._stopping = True
            self._units.outbox_written.set()
            await asyncio.wait({relaying}, timeout=SEND_SECONDS)
            raise
        finally:
            relaying.cancel()
            # First the producer, then the locks: nobody else sends while this one still could.
            await silence(producer)
            await asyncio.gather(relaying, return_exceptions=True)
            connection.terminate()

    async def _relay(self, connection: Connection, producer: AIOKafkaProducer, hold: Hold) -> None:
        await asyncio.wait_for(producer.start(), SEND_SECONDS)
        await connection.execute("SELECT pg_advisory_lock_shared($1, $2)", _LOCK_CLASS, _MEMBER)
        in_flight: deque[_Batch] = deque()
        shards: frozenset[int] = frozenset()
        decided = _Decided()
        floor, rescan_at = 0, 0.0
        while not self._stopping:
            if monotonic() >= rescan_at:
                # A row of a unit that committed late has an id below the floor. And only while nothing
                # is in flight may a shard change hands.
                await self._settle_all(connection, in_flight, decided)
                shards = await _balance(connection, shards)
                floor, rescan_at = 0, monotonic() + RESCAN_SECONDS
            self._units.outbox_written.clear()
            sent = [each for batch in in_flight for each in batch.above(decided.id)]
            asked_at = monotonic()
            rows = await connection.fetch(_OLDEST, shards, floor, BATCH, decided.id, sent) if shards else ()
            if rows:
                if rows[0]["behind"]:
                    rescan_at = 0.0
                    continue
                hold.was_there(asked_at)
                in_flight.append(await _send(producer, rows))
                floor = rows[-1]["id"]
                decided.see(rows[0]["oldest"])
            if in_flight and (len(in_flight) == IN_FLIGHT or len(rows) < BATCH):
                await self._settle(connection, in_flight.popleft(), decided)
            elif not rows:
                await _rung(self._units.outbox_written)
        await self._settle_all(connection, in_flight, decided)

    async def _settle_all(self, connection: Connection, in_flight: deque[_Batch], decided: _Decided) -> None:
        while in_flight:
            await self._settle(connection, in_flight.popleft(), decided)

    async def _settle(self, connection: Connection, batch: _Batch, decided: _Decided) -> None:
        """Wait until Kafka has the whole batch, then delete its rows. Raises when it hasn't in time."""
        async with asyncio.timeout_at(batch.expires_at):
            await batch.acknowledged
        decided.deleted(batch.ids[-1], await connection.fetchval(_DELETE, batch.ids))
        self.sent += len(batch.ids)
        RELAY_BATCH_ROWS.observe(len(batch.ids))
        RELAY_BATCH_SECONDS.observe(asyncio.get_running_loop().time() - batch.expires_at + SEND_SECONDS)


async def _balance(connection: Connection, owned: frozenset[int]) -> frozenset[int]:
    """The shards this relay owns from now on: what is free, up to its fair share; what is beyond, let go."""
    relays = await connection.fetchval(_COUNT_RELAYS, _LOCK_CLASS, _MEMBER)
    share = -(-SHARDS // max(relays, 1))
    kept = sorted(owned)[:share]
    for shard in owned.difference(kept):
        await connection.execute("SELECT pg_advisory_unlock($1, $2)", _LOCK_CLASS, shard)
    taken: list[int] = []
    for shard in set(range(SHARDS)).difference(owned):
        if len(kept) + len(taken) < share and await connection.fetchval(
            "SELECT pg_try_advisory_lock($1, $2)", _LOCK_CLASS, shard
        ):
            taken.append(shard)
    if taken:
        await asyncio.sleep(SETTLE_SECONDS)
    return frozenset((*kept, *taken))


async def _send(producer: AIOKafkaProducer, rows: Sequence[Mapping[str, Any]]) -> _Batch:
    """Hand the rows to the producer in order, without waiting for Kafka."""
    expires_at = asyncio.get_running_loop().time() + SEND_SECONDS
    records = (
        Outgoing(
            row["topic"],
            row["partition"],
            row["key"],
            row["payload"],
            _traced(row["topic"], row["headers"]),
        )
        for row in rows
    )
    async with asyncio.timeout_at(expires_at):
        futures = await batches.send(producer, records)
    acknowledged = asyncio.gather(*futures)
    # A batch whose turn to be awaited never comes needn't complain.
    acknowledged.add_done_callback(lambda done: done.cancelled() or done.exception())
    return _Batch([row["id"] for row in rows], acknowledged, expires_at)


def _traced(topic: str, packed: bytes) -> list[tuple[str, bytes]]:
    headers = envelope.unpack(packed)
    if headers and headers[-1][0] == envelope.TRACEPARENT:
        with produce_span(topic, headers.pop()[1].decode()) as traceparent:
            if traceparent:
                headers.append((envelope.TRACEPARENT, traceparent.encode()))
    return headers


async def _rung(bell: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(POLL_SECONDS):
            await bell.wait()
    except TimeoutError:
        return
