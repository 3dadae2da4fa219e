"""Where slugs lead: in memory, fed by the topic of links, with a file for a start without Kafka."""

import asyncio
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import ValidationError

from souk.chassis.ends import LogEnds
from souk.chassis.fetching import check_fetching
from souk.chassis.settings import KafkaAccess
from souk.contracts.topic import Topic, partition_of
from souk.contracts.topics.links import Link
from souk.tracking.domain.links import can_lead_to, landing_parts

log = logging.getLogger(__name__)

_AT_ONCE = 2000
_SNAPSHOT_SECONDS = 5.0
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """A link, ready to be answered: everything that doesn't depend on the click is made already.

    before, after: the Location around the click's id. fields: the click's JSON members of the link.
    """

    link_id: UUID
    partition: int
    before: bytes
    after: bytes
    fields: str
    plain: bytes


def target_of(link: UUID, campaign: UUID, participation: UUID, landing_url: str) -> Target:
    before, after = landing_parts(landing_url)
    return Target(
        link_id=link,
        partition=partition_of(campaign),
        before=before.encode(),
        after=after.encode(),
        fields=f'"link_id":"{link}","campaign_id":"{campaign}","participation_id":"{participation}"',
        plain=landing_url.encode(),
    )


class Targets:
    """All links by slug. `changes` grows with every state that was taken in."""

    def __init__(self, snapshot: Path) -> None:
        self.by_slug: dict[bytes, Target] = {}
        self.loaded = False
        self.changes = 0
        self._kept: dict[str, tuple[int, str, list[str]]] = {}
        self._snapshot = snapshot
        self._saved = 0

    def take(self, states: Iterable[Link]) -> None:
        for state in states:
            known = self._kept.get(str(state.id))
            self.changes += 1
            if known is not None and known[0] >= state.version:
                continue
            row = [str(state.campaign_id), str(state.participation_id), state.landing_url]
            self._put(str(state.id), state.version, state.slug, row)

    def _put(self, link: str, version: int, slug: str, row: list[str]) -> None:
        known = self._kept.get(link)
        self._kept[link] = (version, slug, row)
        if known is not None and known[1:] == (slug, row):
            return
        if can_lead_to(row[2]):
            self.by_slug[slug.encode()] = target_of(UUID(link), UUID(row[0]), UUID(row[1]), row[2])

    def load(self) -> None:
        """Read the file of the last run; without one, or with a torn one, the topic alone fills it."""
        try:
            with self._snapshot.open() as lines:
                for line in lines:
                    link, version, slug, row = json.loads(line)
                    self._put(link, version, slug, row)
            self.loaded = bool(self.by_slug)
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, IndexError):
            log.exception("the links of the last run can't be read")

    def save(self) -> None:
        """Write the file whole or not at all."""
        if self.changes == self._saved:
            return
        saving = self.changes
        new = self._snapshot.with_suffix(".new")
        with new.open("w") as file:
            for link, (version, slug, row) in list(self._kept.items()):
                file.write(json.dumps([link, version, slug, row], separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._snapshot)
        self._saved = saving


class Feed:
    """Reads the topic of links from its beginning whenever it connects, and then on.

    Versions make reading again harmless, and a topic that was made anew is read as a whole.
    """

    def __init__(self, targets: Targets, access: KafkaAccess, topic: Topic[Link]) -> None:
        self._targets = targets
        self._access = access
        self._topic = topic
        self._partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        self._consumer: Any = None
        # A connection of its own: on the consumer's a question would wait behind the fetch under way.
        self._ends = LogEnds(access)

    async def run(self) -> None:
        async with self._ends:
            while True:
                try:
                    await self._read()
                except Exception:
                    log.warning("the feed of links is interrupted", exc_info=True)
                await asyncio.sleep(_RETRY_SECONDS)

    async def lag(self) -> int | None:
        """Records not taken in yet; None when Kafka can't be asked."""
        consumer = self._consumer
        if consumer is None:
            return None
        try:
            async with asyncio.timeout(2):
                ends = await self._ends.of([self._topic])
                positions = {tp: int(await consumer.position(tp)) for tp in self._partitions}
                return sum(max(0, int(ends[tp]) - at) for tp, at in positions.items())
        except Exception:  # noqa: BLE001  asked by a probe, which needs an answer and no reason
            return None

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._access.client(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            metadata_max_age_ms=10_000,
        )
        consumer.assign(self._partitions)
        await consumer.start()
        try:
            await consumer.seek_to_beginning(*self._partitions)
            async with asyncio.timeout(30):
                ends = await consumer.end_offsets(self._partitions)
            self._consumer = consumer
            while True:
                check_fetching(consumer)
                batches = await consumer.getmany(timeout_ms=1000, max_records=_AT_ONCE)
                self._targets.take(self._states(record.value for some in batches.values() for record in some))
                if not self._targets.loaded:
                    positions = [await consumer.position(tp) >= ends[tp] for tp in self._partitions]
                    self._targets.loaded = all(positions)
        finally:
            self._consumer = None
            await consumer.stop()

    def _states(self, values: Iterable[bytes | None]) -> Iterable[Link]:
        for value in values:
            try:
                yield self._topic.parse(value or b"")
            except ValidationError:
                log.error("a record of links can't be read and is left out")


async def keep_snapshot(targets: Targets) -> None:
    """Write the links to their file now and then, and when the process ends."""
    try:
        while True:
            await asyncio.sleep(_SNAPSHOT_SECONDS)
            try:
                await asyncio.to_thread(targets.save)
            except OSError:
                log.exception("the links were not written to their file")
    finally:
        targets.save()
