"""The fence: the service's database says what is applied, and nothing else does.

A batch locks the positions of its partitions, drops what lies below them, applies the rest and moves
them, in one transaction. A worker that lost a partition without knowing can therefore change nothing
twice. The topic's id is part of it: a topic made anew is read from its beginning.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from aiokafka import TopicPartition
from sqlalchemy import ARRAY, BigInteger, SmallInteger, Text, Uuid, bindparam, text

from souk.chassis import parking
from souk.chassis.prepared import Prepared
from souk.chassis.work import Work

_ARRAYS: dict[str, Any] = {
    "topics": ARRAY(Text),
    "partitions": ARRAY(SmallInteger),
    "ids": ARRAY(Uuid),
    "offsets": ARRAY(BigInteger),
}


def _statement(sql: str) -> Prepared:
    used = [bindparam(name, type_=kind) for name, kind in _ARRAYS.items() if f":{name}" in sql]
    return Prepared(text(sql).bindparams(*used))


_POSITIONS = _statement(
    'SELECT topic, partition, topic_id, next_offset FROM consumer_offset WHERE "group" = :group'
)
_LOCK = _statement(
    'SELECT topic, partition, topic_id, next_offset FROM consumer_offset WHERE "group" = :group '
    "AND (topic, partition) IN (SELECT * FROM unnest(:topics, :partitions)) "
    "ORDER BY topic, partition FOR UPDATE"
)
_START = _statement(
    'INSERT INTO consumer_offset ("group", topic, partition, topic_id, next_offset) '
    "SELECT :group, * FROM unnest(:topics, :partitions, :ids, :offsets) AS t (topic, partition, id, next) "
    "ORDER BY topic, partition ON CONFLICT DO NOTHING"
)
_MOVE = _statement(
    "UPDATE consumer_offset c SET next_offset = t.next, topic_id = t.id "
    "FROM unnest(:topics, :partitions, :ids, :offsets) AS t (topic, partition, id, next) "
    'WHERE c."group" = :group AND c.topic = t.topic AND c.partition = t.partition'
)


@dataclass(frozen=True, slots=True)
class Position:
    """The first offset not applied yet, in the topic with this id."""

    topic_id: UUID
    next_offset: int


class MovedError(Exception):
    """The database's positions are not where this worker believed: it must take them up anew."""

    def __init__(self, partitions: Collection[TopicPartition]) -> None:
        super().__init__(f"positions moved: {sorted(partitions)}")
        self.partitions = frozenset(partitions)


async def positions(work: Work, group: str) -> dict[TopicPartition, Position]:
    """All positions of the group, without a lock."""
    return _read(await work.run(_POSITIONS, {"group": group}))


async def lock(
    work: Work, group: str, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, Position]:
    """The positions of `partitions`, locked in one order everywhere until the unit ends."""
    ordered = sorted(partitions)
    keys = {
        "group": group,
        "topics": [each.topic for each in ordered],
        "partitions": [each.partition for each in ordered],
    }
    return _read(await work.run(_LOCK, keys))


async def move(work: Work, group: str, to: Mapping[TopicPartition, Position]) -> None:
    """Set positions that `lock` holds."""
    if to:
        await work.run(_MOVE, _columns(group, to))


async def take_up(
    work: Work,
    group: str,
    ids: Mapping[str, UUID],
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> dict[TopicPartition, Position]:
    """Where to go on in each partition of `starts`; positions that fit no longer are set right.

    A topic made anew, and one that ends before the position (a truncated log), are read from their
    start: versions make that harmless, whereas going on would skip records without a word. Records that
    retention took before they were read are passed over.
    """
    first = {each: Position(ids[each.topic], start) for each, start in starts.items() if each.topic in ids}
    await work.run(_START, _columns(group, first))
    stored = await lock(work, group, list(first))
    corrected = {
        each: first[each]
        for each, position in stored.items()
        if not _is_of_this_log(position, first[each], ends[each])
        or position.next_offset < first[each].next_offset
    }
    await move(work, group, corrected)
    anew = {each for each in corrected if not _is_of_this_log(stored[each], first[each], ends[each])}
    await parking.outlive_logs(work, group, anew)
    return stored | corrected


def _is_of_this_log(position: Position, start: Position, end: int) -> bool:
    return position.topic_id == start.topic_id and position.next_offset <= end


def _read(rows: Collection[Any]) -> dict[TopicPartition, Position]:
    return {TopicPartition(row.topic, row.partition): Position(row.topic_id, row.next_offset) for row in rows}


def _columns(group: str, positions: Mapping[TopicPartition, Position]) -> dict[str, Any]:
    ordered = sorted(positions)
    return {
        "group": group,
        "topics": [each.topic for each in ordered],
        "partitions": [each.partition for each in ordered],
        "ids": [positions[each].topic_id for each in ordered],
        "offsets": [positions[each].next_offset for each in ordered],
    }
