"""Records that can't be applied: kept with their bytes and error until someone decides."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from aiokafka import TopicPartition
from sqlalchemy import ARRAY, BigInteger, LargeBinary, SmallInteger, Text, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import insert

from souk.chassis import envelope
from souk.chassis.errors import explain
from souk.chassis.record import Record
from souk.chassis.tables import parked
from souk.chassis.work import LARGEST_PAYLOAD, OutboxRow, Work, shard_of

_LONGEST_KEY = 1_000
"""PostgreSQL has no place for a longer one than some 2,600 bytes in the index; those of states have 36."""

_SUPERSEDE = text(
    'DELETE FROM parked p USING unnest(:topics, :keys, :offsets) AS t (topic, key, "offset") '
    'WHERE p."group" = :group AND p.topic = t.topic AND p.key = t.key AND p."offset" < t."offset"'
).bindparams(
    bindparam("topics", type_=ARRAY(Text)),
    bindparam("keys", type_=ARRAY(LargeBinary)),
    bindparam("offsets", type_=ARRAY(BigInteger)),
)
_OUTLIVE = text(
    'UPDATE parked p SET "offset" = -p.id FROM unnest(:topics, :partitions) AS t (topic, partition) '
    'WHERE p."group" = :group AND p.topic = t.topic AND p.partition = t.partition AND p."offset" >= 0'
).bindparams(bindparam("topics", type_=ARRAY(Text)), bindparam("partitions", type_=ARRAY(SmallInteger)))


async def park(work: Work, group: str, record: Record, error: BaseException) -> None:
    """Keep the record in the database, and a copy of it on `<group>.dlq` (partition 0), of one that is too
    large for Kafka with its error the beginning of it without its headers."""
    headers = envelope.pack([(name, value or b"") for name, value in record.headers])
    why = explain(error)
    statement = insert(parked).values(
        group=group,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=None if record.key is None else record.key[:_LONGEST_KEY],
        headers=headers,
        value=record.value,
        error=why,
        parked_at=datetime.now(UTC),
    )
    await work.execute(
        statement.on_conflict_do_update(
            index_elements=[parked.c.group, parked.c.topic, parked.c.partition, parked.c.offset],
            set_={
                name: statement.excluded[name] for name in ("key", "headers", "value", "error", "parked_at")
            }
            | {"attempts": parked.c.attempts + 1},
        )
    )
    origin = {
        "souk_group": group,
        "souk_topic": record.topic,
        "souk_partition": str(record.partition),
        "souk_offset": str(record.offset),
        "souk_error": why,
    }
    packed = envelope.pack([(name, value.encode()) for name, value in origin.items()])
    # Kafka must take the copy: what it refuses stands in the way of all that is behind it in the outbox.
    key = (record.key or b"")[:LARGEST_PAYLOAD]
    if len(key) + len(headers) > LARGEST_PAYLOAD:
        headers = b""
    room = LARGEST_PAYLOAD - len(key) - len(headers)
    work.send(
        OutboxRow(
            shard=shard_of(0),
            topic=f"{group}.dlq",
            partition=0,
            key=key,
            headers=packed + b"\0" + headers if headers else packed,
            payload=(record.value or b"")[:room],
        )
    )


async def supersede(work: Work, group: str, applied: Mapping[tuple[str, bytes], int]) -> int:
    """Drop what is parked of a key now that a later state of it is applied; how many records.

    applied: the highest offset applied by topic and key.
    """
    result = await work.execute(
        _SUPERSEDE,
        {
            "group": group,
            "topics": [topic for topic, _ in applied],
            "keys": [key for _, key in applied],
            "offsets": list(applied.values()),
        },
    )
    return result.rowcount


async def outlive_logs(work: Work, group: str, partitions: Collection[TopicPartition]) -> None:
    """What is parked of logs that are no more is older than all that others put in their places.

    Its offsets become negative, so that no record there takes its place and every later state of its key
    supersedes it.
    """
    if partitions:
        ordered = sorted(partitions)
        await work.execute(
            _OUTLIVE,
            {
                "group": group,
                "topics": [each.topic for each in ordered],
                "partitions": [each.partition for each in ordered],
            },
        )


async def counts(work: Work, group: str) -> dict[str, int]:
    """Parked records by topic."""
    rows = await work.fetch_all(
        select(parked.c.topic, func.count().label("records"))
        .where(parked.c.group == group)
        .group_by(parked.c.topic)
    )
    return {row.topic: row.records for row in rows}


def keys_of(records: Collection[Record]) -> dict[tuple[str, bytes], Any]:
    """The highest offset by topic and key."""
    return {
        (record.topic, record.key): record.offset
        for record in sorted(records, key=lambda each: each.offset)
        if record.key is not None
    }
