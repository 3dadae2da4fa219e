"""Where topics end, and waiting until the intake has come there."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from souk.chassis import fence
from souk.chassis.fetching import check_fetching, is_unreadable
from souk.chassis.intake import Intake
from souk.chassis.settings import KafkaAccess
from souk.chassis.timers import Barrier
from souk.chassis.work import Units
from souk.contracts.topics import Topic

_SECONDS = 5.0
_FETCH_SECONDS = 2.0
_FETCH_BYTES = 64 * 1024
BARRIER_SECONDS = 300.0
_POLL_SECONDS = 0.02


class LogEnds:
    """Asks Kafka where topics end and since when records wait, as no member of any group.

    Connects at the first question.
    """

    def __init__(self, kafka: KafkaAccess) -> None:
        self._kafka = kafka
        self._consumer: AIOKafkaConsumer | None = None
        self._connecting = asyncio.Lock()

    async def of(self, topics: Iterable[Topic[Any]]) -> dict[TopicPartition, int]:
        """The offset that the next record of each partition will get.

        Raises TimeoutError or aiokafka's KafkaError when Kafka is away or a topic isn't there.
        """
        partitions = [
            TopicPartition(topic.name, number) for topic in topics for number in range(topic.partitions)
        ]
        if not partitions:
            return {}
        try:
            async with asyncio.timeout(_SECONDS):
                consumer = await self._connected()
                return dict(await consumer.end_offsets(partitions))
        except Exception:
            await self.close()
            raise

    async def times_at(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, float]:
        """When the first record at or after each offset was appended, in seconds since the epoch.

        Partitions whose record doesn't come within 2 s are left out. For one caller at a time.
        Raises as `of` does.
        """
        if not offsets:
            return {}
        found: dict[TopicPartition, float] = {}
        try:
            async with asyncio.timeout(_SECONDS):
                consumer = await self._connected()
            consumer.assign(list(offsets))
            for partition, offset in offsets.items():
                consumer.seek(partition, offset)
            until = monotonic() + _FETCH_SECONDS
            missing = set(offsets)
            while missing and monotonic() < until:
                for partition in sorted(missing):
                    try:
                        records = (await consumer.getmany(partition)).get(partition)
                    except Exception as error:
                        if not is_unreadable(error):
                            raise
                        missing.remove(partition)
                    else:
                        if records:
                            found[partition] = records[0].timestamp / 1000
                            missing.remove(partition)
                await asyncio.sleep(_POLL_SECONDS)
            check_fetching(consumer)
            consumer.pause(*offsets)
        except Exception:
            await self.close()
            raise
        return found

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _connected(self) -> AIOKafkaConsumer:
        async with self._connecting:
            if self._consumer is None:
                consumer = AIOKafkaConsumer(
                    **self._kafka.client(),
                    group_id=None,
                    metadata_max_age_ms=10_000,
                    request_timeout_ms=5_000,
                    auto_offset_reset="earliest",
                    max_partition_fetch_bytes=_FETCH_BYTES,
                )
                try:
                    await consumer.start()
                except BaseException:
                    await consumer.stop()
                    raise
                self._consumer = consumer
        return self._consumer

    async def close(self) -> None:
        """Hang up; the next question connects again."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with suppress(Exception):
                async with asyncio.timeout(_SECONDS):
                    await consumer.stop()


def lag(
    ends: Mapping[TopicPartition, int], applied: Mapping[TopicPartition, fence.Position]
) -> dict[str, int]:
    """Records between what is applied and the end, by topic.

    A position beyond the end means that the topic was made anew: then all of it is still to be read.
    """
    behind: dict[str, int] = {}
    for partition, end in ends.items():
        position = applied.get(partition)
        next_offset = position.next_offset if position else 0
        missing = end - next_offset if next_offset <= end else end
        behind[partition.topic] = behind.get(partition.topic, 0) + missing
    return behind


def barrier(intake: Intake | None, units: Units, ends: LogEnds) -> Barrier:
    """A barrier on `intake`: see `Job.barrier`. Waiting for a topic that it doesn't read is a ValueError."""

    async def wait(*topics: Topic[Any]) -> None:
        unread = {topic.name for topic in topics}.difference(intake.subscriptions if intake else ())
        if intake is None or unread:
            raise ValueError(f"souk.{units.service} doesn't read {', '.join(sorted(unread))}")
        targets = await ends.of(topics)
        async with asyncio.timeout(BARRIER_SECONDS):
            while True:
                async with units.begin(read_only=True) as work:
                    applied = await fence.positions(work, intake.group)
                if _all_passed(targets, await ends.of(topics), applied):
                    return
                await asyncio.sleep(_POLL_SECONDS)

    return wait


def _all_passed(
    targets: Mapping[TopicPartition, int],
    present: Mapping[TopicPartition, int],
    applied: Mapping[TopicPartition, fence.Position],
) -> bool:
    """Whether each position is at its target or past it: records go on arriving while somebody waits.

    present: the ends, asked for after `applied`. One below its target or below a position is that of a topic
    that was made anew meanwhile: then what it holds is waited for. What the lost one held comes with its
    owner's `republish`, and nobody can tell from the topic when.
    """
    for partition, target in targets.items():
        position = applied[partition].next_offset if partition in applied else 0
        if not min(target, present[partition]) <= position <= present[partition]:
            return False
    return True
