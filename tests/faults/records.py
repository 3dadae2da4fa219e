"""What can happen to a log: records come again, or make no sense; a topic is lost, cut off or restored."""

import asyncio
import json
import random
import time
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from souk.contracts.topic import PARTITIONS, Topic
from souk.local import provision
from souk.local.stack import Stack

_PATIENCE = 20.0
_MOST = 1_000_000


def _settings(stack: Stack) -> dict[str, Any]:
    return {**stack.kafka.settings("admin"), "log_level": 2}


def read(stack: Stack, topic: str) -> Iterator[Any]:
    """Every record from the first to what is the last now. Raises RuntimeError beyond a million, TimeoutError
    when none comes for 20 s."""
    consumer = Consumer({**_settings(stack), "group.id": "souk-faults", "enable.auto.commit": False})
    try:
        left = {}
        for partition in range(PARTITIONS):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), _PATIENCE)
            if low < high:
                left[partition] = high
        consumer.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in left])
        deadline, seen = time.monotonic() + _PATIENCE, 0
        while left:
            if seen > _MOST:
                raise RuntimeError(f"{topic} has more than {_MOST:,} records")
            for record in consumer.consume(500, 0.2):
                if record.error():
                    continue
                seen += 1
                deadline = time.monotonic() + _PATIENCE
                yield record
                if record.offset() + 1 >= left.get(record.partition(), 0):
                    left.pop(record.partition(), None)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} could not be read within {_PATIENCE:.0f} s")
    finally:
        consumer.close()


Sent = tuple[str, int, bytes | None, bytes | None, Any]
"""Topic, partition, key, value and headers."""


def _send(stack: Stack, records: Sequence[Sent]) -> dict[int, str]:
    """The place of each, as the checker says it, by its number. Raises when one didn't go."""
    producer = Producer({**_settings(stack), "enable.idempotence": True, "delivery.timeout.ms": 15_000})
    places: dict[int, str] = {}

    def told(number: int, error: Any, record: Any) -> None:
        if error is not None:
            raise KafkaException(error)
        places[number] = f"{record.topic()} {record.partition()}/{record.offset()}"

    for number, (topic, partition, key, value, headers) in enumerate(records):
        while True:
            try:
                producer.produce(
                    topic,
                    value=value,
                    key=key,
                    partition=partition,
                    headers=headers or [],
                    on_delivery=partial(told, number),
                )
            except BufferError:
                producer.poll(0.1)
            else:
                break
    if producer.flush(_PATIENCE):
        raise TimeoutError("Kafka did not take the records in time")
    return places


def _newest(stack: Stack, topic: str) -> tuple[dict[bytes, Any], set[bytes]]:
    """The newest record of each key, and the keys that have an older one behind it. What nobody can read is
    left out."""
    newest: dict[bytes, Any] = {}
    stale: set[bytes] = set()
    for record in read(stack, topic):
        if (version := _version(record)) is None:
            continue
        if record.key() not in newest or version >= _version(newest[record.key()]):
            newest[record.key()] = record
            stale.discard(record.key())
        else:
            stale.add(record.key())
    return newest, stale


def _version(record: Any) -> Any:
    try:
        return json.loads(record.value())["version"]
    except (ValueError, TypeError, KeyError):
        return None


async def resend(stack: Stack, chance: random.Random, topic: str, *, newer_minor: bool = False) -> None:
    """Up to 50 keys' newest records come a second time, in any order.

    newer_minor: with a field that nobody knows yet. What got a newer record meanwhile gets that once more, so
    that an older state is never the last for good.
    """

    def again() -> None:
        newest, _ = _newest(stack, topic)
        chosen = set(chance.sample(sorted(newest), min(len(newest), 50)))
        while chosen:
            sent = [newest[key] for key in sorted(chosen, key=lambda _: chance.random())]
            _send(stack, [(topic, r.partition(), r.key(), _value(r, newer_minor), r.headers()) for r in sent])
            newest, stale = _newest(stack, topic)
            chosen &= stale

    await asyncio.to_thread(again)


def _value(record: Any, newer_minor: bool) -> bytes:
    value: bytes = record.value()
    if newer_minor:
        return json.dumps({**json.loads(value), "of_a_newer_minor": {"kind": 1}}).encode()
    return value


async def rewind(stack: Stack, group: str) -> None:
    """Have Kafka say that the group has read nothing.

    It refuses that while it knows of members, and of one that was killed it does until its session is over.
    Raises LookupError when the group has told it of nothing, KafkaException when it has members still.
    """

    def begin_again() -> None:
        admin = AdminClient(_settings(stack))
        [asked] = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
        told = asked.result(_PATIENCE).topic_partitions
        if not told:
            raise LookupError(f"{group} has told Kafka of no position")
        begin = [TopicPartition(each.topic, each.partition, 0) for each in told]
        deadline = time.monotonic() + _PATIENCE
        while error := _altered(admin, ConsumerGroupTopicPartitions(group, begin)):
            if error.code() != KafkaError.UNKNOWN_MEMBER_ID or time.monotonic() > deadline:
                raise KafkaException(error)
            time.sleep(0.2)

    await asyncio.to_thread(begin_again)


def _altered(admin: AdminClient, wanted: ConsumerGroupTopicPartitions) -> KafkaError | None:
    """Why the positions could not be set."""
    [asked] = admin.alter_consumer_group_offsets([wanted]).values()
    return next((each.error for each in asked.result(_PATIENCE).topic_partitions if each.error), None)


async def send_malformed(stack: Stack, chance: random.Random, topic: str) -> set[str]:
    """One record that is no state of the topic; its key, and where it lies as the checker says it."""
    value = chance.choice((b"not json", b"{}", b'{"id": 7}', b"\xff\xfe", None))
    key = str(UUID(int=chance.getrandbits(128)))
    headers = [("ce_type", None), ("x", b"\xff")]
    partition = chance.randrange(PARTITIONS)
    sent = await asyncio.to_thread(_send, stack, [(topic, partition, key.encode(), value, headers)])
    return {key, *sent.values()}


async def beginnings(stack: Stack, topic: Topic[Any], part: float) -> list[Sent]:
    """The first `part` (0 to 1) of each partition's records."""

    def kept() -> list[Sent]:
        found: dict[int, list[Sent]] = defaultdict(list)
        for r in read(stack, topic.name):
            found[r.partition()].append((topic.name, r.partition(), r.key(), r.value(), r.headers()))
        return [one for several in found.values() for one in several[: int(len(several) * part)]]

    return await asyncio.to_thread(kept)


async def recreate(
    stack: Stack, topic: Topic[Any], kept: Sequence[Sent], malformed: Container[str]
) -> set[str]:
    """Delete the topic, if it is there, and make it anew with what was `kept`; where those with `malformed`
    keys are now. May be done again when it failed."""

    def anew() -> set[str]:
        settings = _settings(stack)
        deadline = time.monotonic() + _PATIENCE
        if topic.name in AdminClient(settings).list_topics(timeout=_PATIENCE).topics:
            provision.drop(settings, [topic.name])
        while topic.name in AdminClient(settings).list_topics(timeout=_PATIENCE).topics:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic.name} was not deleted in time")
            time.sleep(0.1)
        provision.provision(settings, [provision.plan(topic)])
        places = _send(stack, kept)
        return {places[number] for number, (_, _, key, _, _) in enumerate(kept) if _text(key) in malformed}

    return await asyncio.to_thread(anew)


def _text(key: bytes | None) -> str:
    return (key or b"").decode("ascii", "replace")


async def truncate(stack: Stack, topic: Topic[Any], part: float) -> None:
    """Remove the first `part` (0 to 1) of each partition.

    Kafka refuses that (POLICY_VIOLATION) to topics that are compacted alone, so for a moment those aren't.
    """

    def cut_off() -> None:
        consumer = Consumer({**_settings(stack), "group.id": "souk-faults"})
        try:
            cuts = []
            for partition in range(PARTITIONS):
                low, high = consumer.get_watermark_offsets(TopicPartition(topic.name, partition), _PATIENCE)
                cuts.append(TopicPartition(topic.name, partition, low + int((high - low) * part)))
        finally:
            consumer.close()
        admin = AdminClient(_settings(stack))
        is_compacted = topic.config["cleanup.policy"] == "compact"
        if is_compacted:
            _keep(admin, topic.name, AlterConfigOpType.APPEND)
        try:
            for future in admin.delete_records(cuts, operation_timeout=_PATIENCE).values():
                future.result(_PATIENCE)
        finally:
            if is_compacted:
                _keep(admin, topic.name, AlterConfigOpType.SUBTRACT)

    await asyncio.to_thread(cut_off)


def _keep(admin: AdminClient, topic: str, change: AlterConfigOpType) -> None:
    """Add `delete` to the topic's clean-up policy, or take it away."""
    policy = ConfigEntry("cleanup.policy", "delete", incremental_operation=change)
    wanted = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[policy])
    for future in admin.incremental_alter_configs([wanted]).values():
        future.result(_PATIENCE)
