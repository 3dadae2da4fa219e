"""A record as it comes from Kafka."""

from collections.abc import Sequence
from typing import Protocol

from aiokafka import TopicPartition


class Record(Protocol):
    """What is used of aiokafka's ConsumerRecord, which has no types of its own.

    timestamp: wall time at which the broker appended it, in milliseconds since the epoch.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp: int


def partition_of(record: Record) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)
