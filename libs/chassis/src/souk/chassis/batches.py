"""Records to Kafka in batches built here: one future a batch, where the producer makes one a record."""

import asyncio
from collections.abc import Iterable
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

_AT_ONCE = 50
"""Records that are put into batches in one go: while they are, nobody else is served."""


class Outgoing(NamedTuple):
    """A record on its way. headers: in their order."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


async def send(producer: AIOKafkaProducer, records: Iterable[Outgoing]) -> "list[asyncio.Future[Any]]":
    """Hand `records` to the producer; each future is done when Kafka has acknowledged its batch.

    Those of one partition keep their order. Waits while the producer still has a batch of the same partition
    that it hasn't begun to send.
    """
    open_batches: dict[tuple[str, int], Any] = {}
    sending = []
    for count, record in enumerate(records):
        if count % _AT_ONCE == 0:
            await asyncio.sleep(0)
        place = record.topic, record.partition
        batch = open_batches.get(place)
        if batch is None or not _append(batch, record):
            if batch is not None:
                sending.append(await producer.send_batch(batch, record.topic, partition=record.partition))
            open_batches[place] = batch = producer.create_batch()
            _append(batch, record)
    for (topic, partition), batch in open_batches.items():
        sending.append(await producer.send_batch(batch, topic, partition=partition))
    return sending


def _append(batch: Any, record: Outgoing) -> bool:
    """Whether there was room; in an empty batch there always is."""
    added = batch.append(timestamp=None, key=record.key, value=record.value, headers=record.headers)
    return added is not None
