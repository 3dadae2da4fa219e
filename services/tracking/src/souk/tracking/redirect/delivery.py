"""From the spool to Kafka, and out of the spool when tracking's database has it.

Kafka's acknowledgement is not enough, and neither is the intake's position: a broker may be lost with what
it acknowledged, and others' clicks then take the same offsets. So each click is asked for by its id: the
database has it when it is counted or parked. What it doesn't have after a while is sent again, under the
same id: a click that was parked and dropped before it was asked for is parked anew. A click that is older
than clicks are kept goes without a trace, as it would from the database.
"""

import asyncio
import json
import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaProducer

from souk.chassis import batches, envelope
from souk.chassis.batches import Outgoing
from souk.chassis.clock import Clock
from souk.chassis.producers import silence
from souk.chassis.settings import KafkaAccess
from souk.contracts.topic import Topic
from souk.contracts.topics.clicks import Click
from souk.tracking.redirect.spool import Segment, Spool, Spooled

log = logging.getLogger(__name__)

_READ_BYTES = 256 * 1024
_SEND_SECONDS = 15
_PAUSE = 0.5
_CONFIRM_SECONDS = 0.1
_RESEND_SECONDS = 20.0
_ASK_SECONDS = 5.0
_IDS_AT_ONCE = 500
"""What is still missing of the first so many is asked for again, and nothing behind it: while the intake is
behind, asking must not cost more than it."""
_GATHER_SECONDS = 0.01
"""Clicks come together for so long: a batch costs Kafka about as much as a hundred clicks in it."""
_WAIT_A_LATE_SECOND = 20
_LONGEST_WAIT = 0.05
"""A peak is answered first and counted after: what is sent costs the machine twice what its answer did. So
delivery waits for longer the later it gets its turn, but never for so long that less than some 8,000 clicks
a second are sent."""
_NOT_THERE = """
SELECT id FROM unnest($1::uuid[]) AS asked (id)
WHERE NOT EXISTS (SELECT FROM click WHERE click.id = asked.id)
AND NOT EXISTS (SELECT FROM parked WHERE topic = $2 AND key = convert_to(asked.id::text, 'UTF8'))
"""


class Delivery:
    """sent: clicks acknowledged by Kafka. confirmed: clicks that need the spool no longer.

    kept: clicks older than this are stored nowhere.
    """

    def __init__(
        self,
        spool: Spool,
        access: KafkaAccess,
        topic: Topic[Click],
        clock: Clock,
        database: str,
        kept: timedelta,
    ) -> None:
        self._spool = spool
        self._access = access
        self._topic = topic
        self._clock = clock
        self._database = database
        self._kept = kept
        self._waiting: Path | None = None
        self._waiting_since = 0.0
        self._was_sent_again = False
        self._turn = 0
        self._asked: dict[Path, list[Spooled]] = {}
        self.sent = 0
        self.confirmed = 0

    async def send(self) -> None:
        """Send what is on disk and not sent yet, in order, for ever."""
        while True:
            try:
                producer = AIOKafkaProducer(
                    **self._access.client(),
                    acks="all",
                    enable_idempotence=True,
                    max_batch_size=128 * 1024,
                    request_timeout_ms=10_000,
                    metadata_max_age_ms=10_000,
                )
                try:
                    await producer.start()
                    await self._send_all(producer)
                finally:
                    # What it holds is in the spool. Its own stop() would wait for a partition that takes
                    # nothing, and left alone it would try for ever, beside the next one.
                    await silence(producer)
            except Exception:
                log.warning("clicks wait for Kafka", exc_info=True)
            await asyncio.sleep(_PAUSE)

    async def _send_all(self, producer: Any) -> None:
        while True:
            self._spool.grown.clear()
            for segment in list(self._spool.segments):
                while segment.sent < segment.synced:
                    start = segment.sent
                    records, end = await asyncio.to_thread(self._spool.read, segment, start, _READ_BYTES)
                    await self._send_records(producer, records)
                    # Confirmation may have set it back meanwhile, to have everything sent again.
                    if segment.sent == start:
                        segment.sent = end
                    self.sent += len(records)
                    await _give_way()
            await self._spool.grown.wait()

    async def _send_records(self, producer: Any, records: list[Spooled]) -> None:
        """A click that is sent again is the same event, so its id is the event's."""
        fixed = envelope.unpack(
            envelope.encode(
                source=f"/souk/{self._topic.owner}",
                event="click.happened",
                subject="",
                schema=self._topic.schema_id,
                time=self._clock.now(),
                traceparent=None,
            )
        )
        fixed = [header for header in fixed if header[0] not in ("ce_id", "ce_subject")]
        outgoing = (
            Outgoing(
                self._topic.name,
                record.partition,
                (key := str(record.id).encode()),
                record.value,
                [*fixed, ("ce_id", key), ("ce_subject", key)],
            )
            for record in records
        )
        if sending := await batches.send(producer, outgoing):
            async with asyncio.timeout(_SEND_SECONDS):
                await asyncio.gather(*sending)

    async def confirm(self) -> None:
        """Ask the database for the ids of what was sent, and remove the segments that it has whole."""
        connection: Any = None
        while True:
            try:
                if self._spool.segments:
                    if connection is None or connection.is_closed():
                        connection = await asyncpg.connect(self._database, timeout=_ASK_SECONDS)
                    await self._confirm_all(connection)
            except Exception:
                log.warning("clicks wait for the database", exc_info=True)
                if connection is not None:
                    connection.terminate()
                connection = None
                await asyncio.sleep(_PAUSE)
            await asyncio.sleep(_CONFIRM_SECONDS)

    async def _confirm_all(self, connection: Any) -> None:
        """Remove segments from the first on, as far as the database has them.

        A first one that was sent again in vain (its partition may be stopped for long) does not keep the
        others: one more is asked about at each call. Sending again is for the first alone, so that an
        intake that is away for long is not sent the whole spool again and again.
        """
        while self._spool.segments:
            first = self._spool.segments[0]
            if self._spool.is_active(first) and first.sent == first.synced:
                # It is asked about in the next round; a batch in flight may still come into it.
                self._spool.rotate()
                return
            if not await self._confirm(connection, first):
                break
        else:
            return
        if self._send_again(first):
            others = [each for each in self._spool.segments[1:] if not self._spool.is_active(each)]
            if others:
                self._turn += 1
                await self._confirm(connection, others[self._turn % len(others)])

    async def _confirm(self, connection: Any, segment: Segment) -> bool:
        """Remove the segment if it is sent and nothing in it needs the spool any more; whether it was."""
        if segment.sent < segment.synced:
            return False
        if segment.path not in self._asked:
            records, _ = await asyncio.to_thread(self._spool.read, segment)
            # The first stays beside the one that is asked about in turn: it is read again else at each call.
            first = self._spool.segments[0].path
            self._asked = {path: kept for path, kept in self._asked.items() if path == first}
            self._asked[segment.path] = records
        left = self._asked[segment.path]
        while left:
            missing = await self._missing(connection, [record.id for record in left[:_IDS_AT_ONCE]])
            kept = [
                record
                for record in left[:_IDS_AT_ONCE]
                if record.id in missing and not self._is_expired(record)
            ]
            left[:_IDS_AT_ONCE] = kept
            if kept:
                return False
        del self._asked[segment.path]
        self._spool.remove(segment)
        self.confirmed += segment.records
        return True

    async def _missing(self, connection: Any, ids: Sequence[UUID]) -> Collection[UUID]:
        rows = await connection.fetch(_NOT_THERE, ids, self._topic.name, timeout=_ASK_SECONDS)
        return {row["id"] for row in rows}

    def _is_expired(self, record: Spooled) -> bool:
        try:
            clicked_at = datetime.fromisoformat(json.loads(record.value)["changed_at"])
        except (ValueError, KeyError, TypeError):
            return False  # it will be parked as what it is
        return clicked_at <= self._clock.now() - self._kept

    def _send_again(self, first: Segment) -> bool:
        """Send the first segment again when it waits for long; whether it ever was."""
        if self._waiting != first.path:
            self._waiting, self._was_sent_again = first.path, False
            self._waiting_since = monotonic()
        if first.sent < first.synced:
            self._waiting_since = monotonic()
        elif monotonic() - self._waiting_since > _RESEND_SECONDS:
            log.warning("clicks are sent again", extra={"clicks": first.records})
            self._waiting_since, self._was_sent_again = monotonic(), True
            first.sent = 0
            self._spool.grown.set()
        return self._was_sent_again


async def _give_way() -> None:
    began = monotonic()
    await asyncio.sleep(_GATHER_SECONDS)
    late = monotonic() - began - _GATHER_SECONDS
    await asyncio.sleep(min(late * _WAIT_A_LATE_SECOND, _LONGEST_WAIT))
