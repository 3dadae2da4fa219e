"""What is on a topic: versions and digests of every key, and whether the log itself is sound."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from time import monotonic
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition

from souk.checker import content
from souk.checker.finding import MOST, Finding
from souk.contracts.topic import Topic

_SECONDS = 20.0
_CHUNK = 500
_FETCH_BYTES = 256 * 1024
_CACHE_KIB = 4 * 1024
_AT_ONCE = 500

_TOLD_TABLE = """
CREATE TABLE told (
  topic TEXT, key BLOB, version INTEGER, digest BLOB, place TEXT, PRIMARY KEY (topic, key, version, digest)
) WITHOUT ROWID
"""
_NEWEST_TABLE = """
CREATE TABLE newest (key BLOB PRIMARY KEY, version INTEGER, last INTEGER, place TEXT, at REAL, fields BLOB)
WITHOUT ROWID
"""
_TOLD = "INSERT OR IGNORE INTO told VALUES (:topic, :key, :version, :digest, :place)"
_NEWEST = """
INSERT INTO newest VALUES (:key, :version, :version, :place, :at, :fields)
ON CONFLICT (key) DO UPDATE SET last = excluded.version, place = excluded.place,
  at = CASE WHEN excluded.version >= version THEN excluded.at ELSE at END,
  fields = CASE WHEN excluded.version >= version THEN excluded.fields ELSE fields END,
  version = max(version, excluded.version)
"""
_COLUMNS = "SELECT key, version, last, place, at, fields FROM newest"


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest state of a key.

    last: version of the key's last record. place: `partition/offset` of that record. at: `changed_at` of
    the newest. fields: digests, see `content.by_field`.
    """

    key: UUID
    version: int
    last: int
    place: str
    at: datetime
    fields: bytes


def _kept(table: str) -> sqlite3.Connection:
    """In a file without a name that goes with the process, so that memory stays small."""
    kept = sqlite3.connect("", isolation_level=None)
    kept.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    kept.execute(table)
    return kept


class Told:
    """Versions that topics told, with digests of their contents: of one look at them, or of several, between
    which topics may be lost and told anew."""

    def __init__(self) -> None:
        self._kept = _kept(_TOLD_TABLE)

    def take(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._kept.execute("BEGIN")
        self._kept.executemany(_TOLD, rows)
        self._kept.execute("COMMIT")

    def forks(self, topic: str) -> list[Finding]:
        """Versions that were told with two contents; envelopes may differ."""
        rows = self._kept.execute(
            "SELECT key, version, group_concat(place, ' ') FROM told WHERE topic = ? GROUP BY key, version "
            "HAVING count(*) > 1 ORDER BY key, version LIMIT ?",
            (topic, MOST),
        )
        return [
            Finding("fork", f"{topic} {UUID(bytes=key)}", f"version {version} differs at {places}")
            for key, version, places in rows
        ]

    def several(self, topic: str) -> list[UUID]:
        """Keys with more than one version."""
        rows = self._kept.execute(
            "SELECT key FROM told WHERE topic = ? GROUP BY key HAVING count(DISTINCT version) > 1 "
            "ORDER BY key LIMIT ?",
            (topic, MOST),
        )
        return [UUID(bytes=key) for (key,) in rows]

    def close(self) -> None:
        self._kept.close()


class Log:
    """What was read of one topic so far; of contents it holds digests alone. told: gets the versions."""

    def __init__(self, topic: Topic[Any], told: Told) -> None:
        self.topic = topic
        self.told = told
        self.records = 0
        self.positions: dict[TopicPartition, int] = {}
        self._unreadable: list[Finding] = []
        self._kept = _kept(_NEWEST_TABLE)

    def take(self, records: Sequence[Any]) -> None:
        """Note records of one partition, in their order."""
        self.records += len(records)
        rows = [row for record in records if (row := self._row(record)) is not None]
        self.told.take(rows)
        self._kept.execute("BEGIN")
        self._kept.executemany(_NEWEST, rows)
        self._kept.execute("COMMIT")

    def _row(self, record: Any) -> dict[str, Any] | None:
        place = f"{record.partition}/{record.offset}"
        try:
            state = self.topic.parse(record.value or b"")
            if record.key != self.topic.key(state):
                raise ValueError("its key is another state's")
            if record.partition != self.topic.partition(state):
                raise ValueError(f"it belongs in partition {self.topic.partition(state)}")
        except ValueError as error:
            # The error of a parser quotes what it could not read: that may be personal.
            why = "no state of this topic" if hasattr(error, "errors") else str(error)
            self._unreadable.append(Finding("unreadable", f"{self.topic.name} {place}", why))
            return None
        fields = content.digests(state)
        return {
            "topic": self.topic.name,
            "key": state.id.bytes,
            "version": state.version,
            "digest": blake2b(fields, digest_size=content.SIZE).digest(),
            "place": place,
            "at": state.changed_at.timestamp(),
            "fields": fields,
        }

    def unreadable(self) -> list[Finding]:
        """Records that are no states, or lie where they don't belong."""
        return self._unreadable[:MOST]

    def stale(self) -> list[Finding]:
        """Keys whose last record is not their newest."""
        rows = self._kept.execute(f"{_COLUMNS} WHERE last < version ORDER BY key LIMIT ?", (MOST,))
        return [
            Finding(
                "stale_last",
                f"{self.topic.name} {one.key}",
                f"version {one.last} at {one.place} comes after version {one.version}",
            )
            for one in map(_newest, rows)
        ]

    def in_order(self) -> Iterator[Newest]:
        """The newest of every key, by key."""
        return map(_newest, self._kept.execute(f"{_COLUMNS} ORDER BY key"))

    def newest(self, keys: Collection[UUID]) -> dict[UUID, Newest]:
        """The newest of those of `keys` that are there."""
        found: dict[UUID, Newest] = {}
        wanted = [key.bytes for key in keys]
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            found |= {
                one.key: one
                for one in map(_newest, self._kept.execute(f"{_COLUMNS} WHERE key IN ({marks})", some))
            }
        return found

    def close(self) -> None:
        self._kept.close()


def _newest(row: tuple[Any, ...]) -> Newest:
    key, version, last, place, at, fields = row
    return Newest(UUID(bytes=key), version, last, place, datetime.fromtimestamp(at, UTC), fields)


class TopicReader:
    """Reads topics as no member of any group."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    async def read(self, log: Log) -> None:
        """Take what is new on the log's topic, up to its end as it is now; the first time, all of it.

        Raises TimeoutError when Kafka says nothing for 20 s, aiokafka's KafkaError when it refuses.
        """
        partitions = [TopicPartition(log.topic.name, number) for number in range(log.topic.partitions)]
        async with asyncio.timeout(_SECONDS):
            ends: Mapping[TopicPartition, int] = await self._consumer.end_offsets(partitions)
            starts: Mapping[TopicPartition, int] = await self._consumer.beginning_offsets(partitions)
        at = {each: max(log.positions.get(each, 0), starts[each]) for each in partitions}
        waiting = {each for each in partitions if at[each] < ends[each]}
        log.positions = {each: max(at[each], ends[each]) for each in partitions}
        if not waiting:
            return
        self._consumer.assign(list(waiting))
        for each in waiting:
            self._consumer.seek(each, at[each])
        until = monotonic() + _SECONDS
        while waiting:
            if monotonic() > until:
                raise TimeoutError(f"{log.topic.name} could not be read to its end")
            batches = await self._consumer.getmany(*waiting, timeout_ms=200, max_records=_CHUNK)
            for partition, records in batches.items():
                log.take([record for record in records if record.offset < ends[partition]])
            for each in list(waiting):
                # Not the offset of the last record: the compactor may have left none at the end.
                position = await self._consumer.position(each)
                if position > at[each]:
                    at[each], until = position, monotonic() + _SECONDS
                if position >= ends[each]:
                    waiting.remove(each)
                    self._consumer.pause(each)


@asynccontextmanager
async def topic_reader(kafka: Mapping[str, Any]) -> AsyncIterator[TopicReader]:
    """kafka: keyword arguments of an aiokafka client, of a principal that may read the topics."""
    consumer = AIOKafkaConsumer(
        **kafka,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    try:
        await consumer.start()
        yield TopicReader(consumer)
    finally:
        await consumer.stop()
