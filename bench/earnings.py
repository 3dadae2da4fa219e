"""Earnings as a reader of their topic sees them, and how long what they pay for has waited."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from time import time
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from harness import until
from place import Place

from souk.contracts.topic import PARTITIONS
from souk.contracts.topics.earnings import EARNINGS

Paid = tuple[int, float]
"""Revenue in micros, and when the record arrived, in seconds since the epoch."""


class Earnings:
    """A reader of the topic. seen: what each participation was paid, record by record."""

    def __init__(self, place: Place) -> None:
        self._consumer: Any = AIOKafkaConsumer(**place.access("campaign").client(), fetch_max_wait_ms=50)
        self._newest: dict[UUID, int] = {}
        self._reading: asyncio.Task[None]
        self.seen: dict[UUID, list[Paid]] = defaultdict(list)

    async def until(self, revenue: int, within: float = 120.0) -> None:
        """Return when that much is paid in all. Raises TimeoutError."""

        async def is_paid() -> bool:
            if self._reading.done():
                await self._reading
            return sum(self._newest.values()) >= revenue

        await until(is_paid, every=0.05, within=within)

    async def __aenter__(self) -> "Earnings":
        await self._consumer.start()
        partitions = [TopicPartition(EARNINGS.name, number) for number in range(PARTITIONS)]
        self._consumer.assign(partitions)
        await self._consumer.seek_to_beginning(*partitions)
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._consumer.stop()

    async def _read(self) -> None:
        while True:
            batches = await self._consumer.getmany(timeout_ms=100)
            now = time()
            for records in batches.values():
                for record in records:
                    earning = EARNINGS.parse(record.value)
                    self._newest[earning.id] = earning.revenue
                    self.seen[earning.id].append((earning.revenue, now))


def waits(
    seen: Mapping[UUID, Sequence[Paid]], due: Mapping[UUID, Sequence[float]], first: float, last: float
) -> list[float]:
    """Seconds from when each unit was due, of those from `first` to `last`, to the earning that pays for it.

    due: by participation and in order; each unit is worth 1 micro, so the k-th is paid for by the first
    earning whose revenue is k or more.
    """
    found = []
    for who, several in due.items():
        paid = iter(seen[who])
        revenue, at = next(paid)
        for count, moment in enumerate(several, start=1):
            while revenue < count:
                revenue, at = next(paid)
            if first <= moment <= last:
                found.append(at - moment)
    return found
