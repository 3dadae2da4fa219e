"""From the spool to Kafka, and out of the spool when tracking's database has it.

Kafka's acknowledgement is not enough: a broker may be lost with what it acknowledged. What the database
doesn't have after a while is sent again, under the same ids.
"""

import asyncio
import logging
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaProducer

from souk.chassis import envelope
from souk.chassis.clock import Clock
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
_IDS_AT_ONCE = 5000


class Delivery:
    """sent: clicks acknowledged by Kafka. confirmed: clicks that the database has."""

    def __init__(
        self, spool: Spool, access: KafkaAccess, topic: Topic[Click], clock: Clock, database: str
    ) -> None:
        self._spool = spool
        self._access = access
        self._topic = topic
        self._clock = clock
        self._database = database
        self._waiting_since: dict[Path, float] = {}
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
                    linger_ms=2,
                    max_batch_size=128 * 1024,
                    request_timeout_ms=10_000,
                    metadata_max_age_ms=10_000,
                )
                await producer.start()
                try:
                    await self._send_all(producer)
                finally:
                    async with asyncio.timeout(5):
                        await producer.stop()
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
            await self._spool.grown.wait()

    async def _send_records(self, producer: Any, records: list[Spooled]) -> None:
        time = self._clock.now()
        futures = [
            await producer.send(
                self._topic.name,
                value=record.value,
                key=str(record.id).encode(),
                partition=record.partition,
                headers=envelope.unpack(
                    envelope.encode(
                        source=f"/souk/{self._topic.owner}",
                        event="click.happened",
                        subject=str(record.id),
                        schema=self._topic.schema_id,
                        time=time,
                        traceparent=None,
                    )
                ),
            )
            for record in records
        ]
        if futures:
            async with asyncio.timeout(_SEND_SECONDS):
                await asyncio.gather(*futures)

    async def confirm(self) -> None:
        """Ask the database for the ids of what was sent, and remove the segments that it has whole."""
        connection: Any = None
        while True:
            try:
                if self._spool.segments:
                    if connection is None or connection.is_closed():
                        connection = await asyncpg.connect(self._database, timeout=_ASK_SECONDS)
                    await self._confirm_all(connection)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                log.warning("clicks wait for the database", exc_info=True)
                if connection is not None:
                    connection.terminate()
                connection = None
                await asyncio.sleep(_PAUSE)
            await asyncio.sleep(_CONFIRM_SECONDS)

    async def _confirm_all(self, connection: Any) -> None:
        for segment in list(self._spool.segments):
            if segment.sent < segment.synced:
                return
            if self._spool.is_active(segment):
                # It is asked about in the next round; a batch in flight may still come into it.
                self._spool.rotate()
                return
            records, _ = await asyncio.to_thread(self._spool.read, segment)
            if await self._missing(connection, [record.id for record in records]):
                self._send_again(segment)
                return
            self._spool.remove(segment)
            self._waiting_since.pop(segment.path, None)
            self.confirmed += segment.records

    async def _missing(self, connection: Any, ids: list[UUID]) -> bool:
        for start in range(0, len(ids), _IDS_AT_ONCE):
            some = list(set(ids[start : start + _IDS_AT_ONCE]))
            have = await connection.fetchval(
                "SELECT count(*) FROM click WHERE id = ANY($1::uuid[])", some, timeout=_ASK_SECONDS
            )
            if have < len(some):
                return True
        return False

    def _send_again(self, segment: Segment) -> None:
        since = self._waiting_since.setdefault(segment.path, monotonic())
        if monotonic() - since > _RESEND_SECONDS:
            log.warning("clicks are sent again", extra={"clicks": segment.records})
            self._waiting_since[segment.path] = monotonic()
            segment.sent = 0
            self._spool.grown.set()
