"""The intake at work: one FastStream batch subscriber over all topics of the service.

Kafka's consumer group only shares partitions out. Where to read is the database's say (`fence`): a
partition that is assigned is paused, looked up, sought and resumed, and a commit to Kafka is a hint for
other people's tools. The ways in which FastStream and aiokafka lose records without a word, and what
works instead, are in docs/decisions.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic, time
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from souk.chassis import applying, ends, fence
from souk.chassis.breaker import Breaker
from souk.chassis.database import is_transient
from souk.chassis.errors import explain
from souk.chassis.fetching import check_fetching, is_unreadable
from souk.chassis.intake import Intake
from souk.chassis.metrics import BATCH_RETRIES, BREAKER_OPEN, CONSUMER_LAG_RECORDS, CONSUMER_LAG_SECONDS
from souk.chassis.record import Record, partition_of
from souk.chassis.settings import KafkaAccess
from souk.chassis.topic_ids import TopicIds
from souk.chassis.work import Units

log = logging.getLogger(__name__)

MOST_RECORDS = 1000
_FETCH_BYTES = 8 * 1024 * 1024
_PARTITION_BYTES = 512 * 1024
_FETCH_WAIT_MS = 100
"""A fetch that is under way leaves out the partitions that just had records, so this is how long a
second record can wait behind a first."""
_POLL_MS = 200
_SESSION_MS = 10_000
_HOLD_SECONDS = 4.0
"""How long a rebalance waits for the batch in flight; the fence protects what takes longer."""
_KAFKA_SECONDS = 5.0
_TICK_SECONDS = 0.25
_HINT_SECONDS = 1.0
_WATCH_SECONDS = 5.0
_FIRST_RETRY, _LAST_RETRY = 0.2, 5.0
_DRAIN_SECONDS = 8.0
_ONE_BY_ONE_SECONDS = 10.0
_SCRAM = {"SCRAM-SHA-512": SASLScram512, "SCRAM-SHA-256": SASLScram256, "PLAIN": SASLPlaintext}


class IntakeRunner:
    """Reads and applies what `intake` subscribes to. Any number of processes may run one each."""

    def __init__(self, intake: Intake, units: Units, kafka: KafkaAccess, *, park_run: int = 20) -> None:
        self._intake = intake
        self._units = units
        self._kafka = kafka
        self._park_run = park_run
        self._ids = TopicIds(kafka)
        self._reading: _Reading | None = None

    def ready(self) -> str | None:
        """None when every partition assigned here is being read, else one sentence why not."""
        return self._reading.ready() if self._reading else "not connected to Kafka"

    async def run(self) -> None:
        """Read until cancelled; the batch in flight then is finished, for at most 8 s."""
        retry = _FIRST_RETRY
        while True:
            reading = _Reading(self._intake, self._units, self._kafka, self._ids, self._park_run)
            self._reading = reading
            try:
                await reading.run()
            except asyncio.CancelledError:
                self._reading = None
                raise
            except Exception as error:  # noqa: BLE001  positions are in the database: start over
                log.warning("the intake starts again in %.1f s: %s", retry, explain(error))
            self._reading = None
            await asyncio.sleep(retry)
            retry = min(retry * 2, _LAST_RETRY)


class _Reading(ConsumerRebalanceListener):  # type: ignore[misc]
    """One life of the consumer, from its start to a failure that only a new one gets over."""

    def __init__(
        self, intake: Intake, units: Units, kafka: KafkaAccess, ids: TopicIds, park_run: int
    ) -> None:
        self._intake = intake
        self._units = units
        self._ids = ids
        self._ends = ends.LogEnds(kafka)
        self._park_run = park_run
        self._broker = KafkaBroker(
            list(kafka.servers),
            security=_security(kafka),
            client_id=f"souk-{intake.service}-intake",
            metadata_max_age_ms=10_000,
            request_timeout_ms=int(_KAFKA_SECONDS * 1000),
            allow_auto_create_topics=False,
            consumer_only=True,
            apply_types=False,
            graceful_timeout=1.0,
            logger=log,
            log_level=logging.DEBUG,
        )
        self._subscriber = self._broker.subscriber(
            *(topic.name for topic in intake.topics),
            batch=True,
            group_id=intake.group,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="none",
            partition_assignment_strategy=(RangePartitionAssignor,),
            listener=self,
            parser=self._parse,
            decoder=self._decode,
            max_records=MOST_RECORDS,
            batch_timeout_ms=_POLL_MS,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            fetch_max_bytes=_FETCH_BYTES,
            max_partition_fetch_bytes=_PARTITION_BYTES,
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=1000,
        )
        self._subscriber(self._handle)
        # FastStream goes on behind whatever this raises.
        self._take = self._subscriber.get_msg
        self._subscriber.get_msg = self._get  # type: ignore[method-assign]
        self._positions: dict[TopicPartition, fence.Position] = {}
        self._breakers: dict[TopicPartition, Breaker] = {}
        self._resume_at: dict[TopicPartition, float] = {}
        self._hinted: dict[TopicPartition, int] = {}
        self._taking_up: set[asyncio.Task[None]] = set()
        self._assigned = False
        self._stopping = False
        self._generation = 0
        self._retry = _FIRST_RETRY
        self._applying: asyncio.Task[None] | None = None
        self._seeks = 0
        self._taken_since = 0
        self._one_by_one_until = 0.0

    def ready(self) -> str | None:
        if not self._assigned:
            return "no partitions assigned yet"
        if missing := self._assignment().difference(self._positions):
            return f"{len(missing)} partitions not positioned yet"
        if self._resume_at:
            stopped = ", ".join(f"{each.topic}/{each.partition}" for each in sorted(self._resume_at))
            return f"stopped because records can't be applied, or not even read: {stopped}"
        return None

    async def run(self) -> None:
        try:
            await self._broker.start()
            await self._watch()
        finally:
            self._stopping = True
            with suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_SECONDS):
                    await self._applied()
            for task in (*self._taking_up, *([self._applying] if self._applying else ())):
                task.cancel()
            self._breakers.clear()
            self._show_breakers()
            await self._hint()
            with suppress(Exception):
                async with asyncio.timeout(_KAFKA_SECONDS):
                    await self._broker.stop()
            await self._ends.close()

    async def _get(self, consumer: Any) -> Any:
        """The next records, none when there are none or when some can't be read.

        What aiokafka took of other partitions in a call that fails at one is lost with it, though their
        positions have moved. So all are sought, and read one by one for a while, to find that one.
        """
        try:
            if monotonic() < self._one_by_one_until:
                return await self._take_one_by_one(consumer)
            return await self._take(consumer)
        except Exception as error:
            if not is_unreadable(error):
                raise
            log.warning("partitions are read one by one, for one of them can't be read: %s", explain(error))
            for partition in self._assignment().intersection(self._positions):
                self._seek_to(partition, self._positions[partition].next_offset)
            self._one_by_one_until = monotonic() + _ONE_BY_ONE_SECONDS
            return ()

    async def _take_one_by_one(self, consumer: Any) -> Sequence[Record]:
        """All that is there of every partition; one that can't be read is stopped."""
        taken: list[Record] = []
        for partition in sorted(self._assignment().intersection(self._positions)):
            try:
                for records in (await consumer.getmany(partition)).values():
                    taken += records
            except Exception as error:
                if not is_unreadable(error) and not taken:
                    raise
                if not is_unreadable(error) or partition not in self._positions:
                    break
                self._one_by_one_until = 0.0
                breaker = (self._breakers.get(partition) or Breaker(self._park_run)).stopped()
                self._stop(partition, breaker)
                log.error(
                    "%s partition %d can't be read from offset %d on and stops for %.0f s: %s",
                    *(partition.topic, partition.partition, self._positions[partition].next_offset),
                    *(breaker.pause, explain(error)),
                )
        if not taken:
            await asyncio.sleep(_FETCH_WAIT_MS / 1000)
        return tuple(taken)

    # The default parser drops a batch for one header that is null or no UTF-8, whatever the ack policy.
    async def _parse(self, records: tuple[Any, ...]) -> KafkaAckableMessage:
        return KafkaAckableMessage(
            raw_message=records, body=b"", headers={}, message_id="", consumer=self._subscriber.consumer
        )

    async def _decode(self, message: Any) -> Any:
        return message.raw_message

    # FastStream reads the annotation, and would check and convert every record by it.
    async def _handle(self, records: Any) -> None:
        """Read one batch while the one before is being applied, then leave it to be applied in turn.

        Must not raise: FastStream would go on behind it.
        """
        batch = await applying.read(self._intake, records)
        await self._applied()
        if self._stopping:
            return
        if self._taken_since == self._seeks:
            self._applying = asyncio.create_task(self._apply(records, batch))
        else:
            # Something was sought since before these were taken: what should come first may be left out.
            self._rewind(records)
        self._taken_since = self._seeks

    async def _applied(self) -> None:
        """Wait for the batch that is being applied, if there is one; it doesn't raise."""
        if self._applying is not None:
            await asyncio.wait({self._applying})

    async def _apply(self, records: Sequence[Record], batch: Sequence[applying.Run]) -> None:
        generation = self._generation
        try:
            outcome = await applying.apply(
                self._units,
                self._intake,
                batch,
                dict(self._positions),
                breakers=self._breakers,
                park_run=self._park_run,
            )
        except fence.MovedError as moved:
            log.warning("%s", moved)
            self._take_up(moved.partitions)
            self._rewind(records)
        except Exception as error:  # noqa: BLE001  whatever it is, nothing may be left out
            level = logging.WARNING if is_transient(error) else logging.ERROR
            log.log(level, "a batch is tried again in %.1f s: %s", self._retry, explain(error))
            BATCH_RETRIES.labels(type(error).__name__).inc()
            await asyncio.sleep(self._retry)
            self._retry = min(self._retry * 2, _LAST_RETRY)
            self._rewind(records)
        else:
            self._retry = _FIRST_RETRY
            if generation == self._generation:
                self._positions |= outcome.positions
            self._heed(outcome.breakers)

    def _heed(self, breakers: Mapping[TopicPartition, Breaker]) -> None:
        for partition in self._assignment().intersection(breakers):
            self._breakers[partition] = breakers[partition]
            # Without a position it is being taken up, after a batch that outlived its assignment.
            if breakers[partition].is_open and partition in self._positions:
                self._stop(partition, breakers[partition])
        self._show_breakers()

    def _stop(self, partition: TopicPartition, breaker: Breaker) -> None:
        """Read no more of the partition for a while."""
        self._breakers[partition] = breaker
        self._consumer.pause(partition)
        self._seek_to(partition, self._positions[partition].next_offset)
        self._resume_at[partition] = monotonic() + breaker.pause
        self._show_breakers()

    def _show_breakers(self) -> None:
        held = {partition.topic for partition, breaker in self._breakers.items() if breaker.is_open}
        for topic in self._intake.subscriptions:
            BREAKER_OPEN.labels(topic).set(int(topic in held))

    def _rewind(self, records: Sequence[Record]) -> None:
        """Have a batch that was not applied delivered again, from the positions of its partitions.

        Those that are being taken up are sought anyway, and those that are no longer ours are others'.
        """
        for partition in self._assignment().intersection(map(partition_of, records)):
            if (position := self._positions.get(partition)) is not None:
                self._seek_to(partition, position.next_offset)

    def _seek_to(self, partition: TopicPartition, offset: int) -> None:
        """Every seek goes through here: a batch that was taken before it must not be applied after it."""
        self._seeks += 1
        self._consumer.seek(partition, offset)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self._generation += 1
        self._seeks += 1
        for task in self._taking_up:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(_HOLD_SECONDS):
                await self._applied()
        await self._hint()
        self._positions.clear()
        self._resume_at.clear()
        self._hinted.clear()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        # No heartbeat runs in here, and an error would only be logged: all that can fail is done beside it.
        self._generation += 1
        self._positions.clear()
        # Not on revocation, which takes all: what comes back must not have another run parked.
        self._breakers = {each: self._breakers[each] for each in assigned.intersection(self._breakers)}
        self._show_breakers()
        self._assigned = True
        self._take_up(assigned)

    def _take_up(self, partitions: frozenset[TopicPartition] | set[TopicPartition]) -> None:
        """Stop reading the partitions and go on, in the background, where the database says."""
        mine = self._assignment().intersection(partitions)
        for partition in mine:
            self._positions.pop(partition, None)
            self._consumer.pause(partition)
            # Any position will do: without one aiokafka raises for seconds that there is none.
            self._seek_to(partition, 0)
        if mine:
            task = asyncio.create_task(self._seek(mine, self._generation))
            self._taking_up.add(task)
            task.add_done_callback(self._taking_up.discard)

    async def _seek(self, partitions: set[TopicPartition], generation: int) -> None:
        retry = _FIRST_RETRY
        # Partitions may still be assigned while the broker is being stopped.
        while generation == self._generation and not self._stopping:
            try:
                found = await self._look_up(partitions)
            except Exception as error:  # noqa: BLE001  without a position nothing is read
                log.warning("positions are looked up again in %.1f s: %s", retry, explain(error))
            else:
                if generation != self._generation:
                    return
                for partition in partitions.intersection(found).intersection(self._assignment()):
                    self._seek_to(partition, found[partition].next_offset)
                    self._positions[partition] = found[partition]
                    if partition not in self._resume_at:
                        self._consumer.resume(partition)
                if partitions <= found.keys():
                    return
                partitions = partitions.difference(found)
            await asyncio.sleep(retry)
            retry = min(retry * 2, _LAST_RETRY)

    async def _look_up(self, partitions: set[TopicPartition]) -> dict[TopicPartition, fence.Position]:
        ids = await self._ids.of({partition.topic for partition in partitions})
        there = [partition for partition in partitions if partition.topic in ids]
        async with asyncio.timeout(_KAFKA_SECONDS):
            starts = await self._consumer.beginning_offsets(there)
            log_ends = await self._consumer.end_offsets(there)
        async with self._units.begin() as work:
            return await fence.take_up(work, self._intake.group, ids, starts, log_ends)

    async def _watch(self) -> None:
        """Hints to Kafka, partitions to try again after a stop, topics made anew."""
        hint_at, watch_at = 0.0, monotonic() + _WATCH_SECONDS
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            if self._consumer is not None:
                # Raises when the task that keeps our place in the group has ended. At an error that it does
                # not know (uvloop's RuntimeError for a connection that was reset) it ends for good, and
                # FastStream goes on asking for batches that never come.
                self._consumer._coordinator.check_errors()
                check_fetching(self._consumer)
            now = monotonic()
            for partition in [each for each, at in self._resume_at.items() if at <= now]:
                del self._resume_at[partition]
                if partition in self._assignment() and partition in self._positions:
                    self._consumer.resume(partition)
            if now >= hint_at:
                await self._hint()
                hint_at = now + _HINT_SECONDS
            if now >= watch_at:
                try:
                    await self._check_topics()
                except Exception as error:  # noqa: BLE001  checked again in a moment
                    log.warning("topics could not be checked: %s", explain(error))
                watch_at = now + _WATCH_SECONDS

    async def _hint(self) -> None:
        """Tell Kafka how far we are, for tools that look there; nothing here reads it."""
        mine = self._assignment()
        hint = {
            each: position.next_offset
            for each, position in self._positions.items()
            if each in mine and self._hinted.get(each, 0) != position.next_offset
        }
        if hint:
            with suppress(Exception):
                async with asyncio.timeout(1.0):
                    await self._consumer.commit(hint)
                    self._hinted |= hint

    async def _check_topics(self) -> None:
        """Take up anew what was recreated, truncated or set back under us; measure the lag."""
        positions = dict(self._positions)
        if not positions and self._assignment():
            return
        ids = await self._ids.of({each.topic for each in positions})
        async with asyncio.timeout(_KAFKA_SECONDS):
            log_starts = await self._consumer.beginning_offsets(list(positions))
            log_ends = await self._consumer.end_offsets(list(positions))
        # First: while the database is away it is what tells how late we are.
        await self._measure(positions, log_ends)
        async with self._units.begin(read_only=True) as work:
            stored = await fence.positions(work, self._intake.group)
        astray = {
            each
            for each, position in positions.items()
            if ids.get(each.topic, position.topic_id) != position.topic_id
            or position.next_offset > log_ends[each]
            or (each in stored and stored[each].next_offset < position.next_offset)
            # Retention was faster than we: Kafka refuses every fetch from here on.
            or position.next_offset < log_starts[each]
        }
        # A position may have moved since the ends were asked for; those that did are fine.
        astray = {each for each in astray if self._positions.get(each) == positions[each]}
        if astray:
            log.warning("made anew, cut off or set back, so read again: %s", sorted(astray))
            self._take_up(astray)

    async def _measure(
        self, positions: Mapping[TopicPartition, fence.Position], log_ends: Mapping[TopicPartition, int]
    ) -> None:
        """Set the gauges of the lag."""
        behind = ends.lag(log_ends, positions)
        oldest = await self._oldest(
            {each: at.next_offset for each, at in positions.items() if at.next_offset < log_ends[each]}
        )
        for topic in self._intake.subscriptions:
            CONSUMER_LAG_RECORDS.labels(topic).set(behind.get(topic, 0))
            # What is behind and tells no time can't be read: it is not younger than it was.
            if topic in oldest or not behind.get(topic):
                age = max(time() - oldest[topic], 0.0) if topic in oldest else 0
                CONSUMER_LAG_SECONDS.labels(topic).set(age)

    async def _oldest(self, waiting: Mapping[TopicPartition, int]) -> dict[str, float]:
        """When the oldest record at these offsets was appended, by topic, in seconds since the epoch."""
        oldest: dict[str, float] = {}
        for partition, appended in (await self._ends.times_at(waiting)).items():
            oldest[partition.topic] = min(appended, oldest.get(partition.topic, appended))
        return oldest

    @property
    def _consumer(self) -> Any:
        return self._subscriber.consumer

    def _assignment(self) -> set[TopicPartition]:
        return set(self._consumer.assignment()) if self._consumer is not None else set()


def _security(kafka: KafkaAccess) -> BaseSecurity | None:
    if kafka.protocol == "PLAINTEXT":
        return None
    context = kafka.client().get("ssl_context")
    if not kafka.protocol.startswith("SASL"):
        return BaseSecurity(ssl_context=context, use_ssl=True)
    return _SCRAM[kafka.mechanism](
        kafka.user,
        kafka.password.get_secret_value(),
        ssl_context=context,
        use_ssl=context is not None,
    )
