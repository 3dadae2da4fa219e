"""Every record is applied once, whatever happens to workers, groups and topics."""

import asyncio
import dataclasses
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.record.util import calc_crc32c
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as AdminPartition
from confluent_kafka.admin import AdminClient
from prometheus_client import REGISTRY
from sqlalchemy import text

from souk.chassis import breaker, consumer, fence
from souk.chassis.consumer import IntakeRunner
from souk.chassis.work import Work

from .conftest import OTHERS, THINGS, House, end_fetching, eventually, record, running, thing


async def _next_offset(house: House) -> int:
    rows = await house.query("SELECT coalesce(sum(next_offset), 0) FROM consumer_offset")
    return int(rows[0][0])


def _has(house: House, count: int) -> Any:
    async def enough() -> bool:
        return len(await house.applied()) >= count

    return enough


def _end_coordination(consumer: Any) -> None:
    """As a connection that was reset does: the loop refuses to write to it."""

    async def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>")

    consumer._coordinator._do_heartbeat = refuse
    consumer._coordinator.ensure_active_group = refuse
    consumer._coordinator.request_rejoin()


async def test_states_come_in_partition_and_offset_order_topic_by_topic_and_never_merged(
    house: House,
) -> None:
    calls: list[tuple[str, list[str]]] = []
    one = thing(name="1")
    twice = thing(2, name="2", id=one.id)
    other = house.others.state(**thing(name="o").model_dump())

    async def things(_: Work, states: Sequence[Any]) -> None:
        calls.append(("things", [state.name for state in states]))

    async def others(_: Work, states: Sequence[Any]) -> None:
        calls.append(("others", [state.name for state in states]))

    intake = house.intake(things)
    intake.reads(house.others)(others)
    await house.publish(other, one, twice, thing(partition=1, name="0"))
    async with running(house.relay().run()):
        pulse = house.pulse(house.campaign, None)
        await eventually(lambda: _quiet(pulse))
        async with running(house.runner(intake).run()):
            await eventually(lambda: _is(calls, 2))

    assert calls == [("things", ["0", "1", "2"]), ("others", ["o"])]


async def _is(calls: list[Any], count: int) -> bool:
    return len(calls) >= count


async def _quiet(pulse: Any) -> bool:
    reading = await pulse.read()
    return bool(reading.outbox == 0 and reading.lag == 0)


async def test_workers_that_come_and_go_apply_everything_once(house: House) -> None:
    total = 1200
    intake = house.intake()

    async def feed() -> None:
        for start in range(0, total, 40):
            await house.publish(*(thing(partition=n % 12, name=f"{n}") for n in range(start, start + 40)))
            await asyncio.sleep(0.02)

    async with running(house.relay().run(), house.runner(intake).run()):
        feeding = asyncio.create_task(feed())
        for _ in range(2):
            async with running(house.runner(intake, house.connect("billing")).run()):
                await asyncio.sleep(0.7)
        await feeding
        await eventually(_has(house, total), within=30)

    assert sorted(map(int, await house.applied())) == list(range(total))


async def test_two_workers_share_the_partitions(house: House) -> None:
    applied_by: list[set[str]] = [set(), set()]

    def worker(number: int) -> IntakeRunner:
        async def handler(work: Work, states: Sequence[Any]) -> None:
            applied_by[number].update(state.name for state in states)
            await record(work, states)

        return house.runner(house.intake(handler), house.connect("billing"))

    runners = [worker(0), worker(1)]
    async with running(house.relay().run(), *(each.run() for each in runners)):

        async def ready() -> bool:
            return all(each.ready() is None for each in runners)

        await eventually(ready)
        await house.publish(*(thing(partition=n, name=f"{n}") for n in range(12)))
        await eventually(_has(house, 12))

    assert [len(names) for names in applied_by] == [6, 6]
    assert len(await house.applied()) == 12


async def test_records_below_the_databases_offset_are_not_applied(house: House) -> None:
    intake = house.intake()
    await house.publish(*(thing(name=str(n)) for n in range(10)))
    async with running(house.relay().run(), house.runner(intake).run()):
        await eventually(_has(house, 10))
    async with house.billing.begin() as work:
        await work.execute(text("UPDATE consumer_offset SET next_offset = 7 WHERE partition = 3"))

    async with running(house.runner(intake).run()):
        await eventually(_has(house, 13))

    assert (await house.applied())[10:] == ["7", "8", "9"]


async def test_a_zombie_changes_nothing_twice(house: House) -> None:
    from souk.chassis import applying

    intake = house.intake()
    await house.publish(*(thing(name=str(n)) for n in range(5)))
    async with running(house.relay().run(), house.runner(intake).run()):
        await eventually(_has(house, 5))
    async with house.billing.begin() as work:
        stored = await fence.positions(work, intake.group)
    records = await house.on_log(house.things)
    stale = {
        TopicPartition(house.things.name, 3): fence.Position(
            stored[TopicPartition(house.things.name, 3)].topic_id, 0
        )
    }

    runs = await applying.read(intake, records)
    outcome = await applying.apply(house.billing, intake, runs, stale, breakers={}, park_run=20)

    assert outcome.positions[TopicPartition(house.things.name, 3)].next_offset == 5
    assert len(await house.applied()) == 5


async def test_positions_set_back_under_a_worker_are_taken_up_anew(house: House) -> None:
    intake = house.intake()
    async with running(house.relay().run(), house.runner(intake).run()):
        await house.publish(*(thing(name=str(n)) for n in range(5)))
        await eventually(_has(house, 5))
        async with house.billing.begin() as work:
            await work.execute(text("UPDATE consumer_offset SET next_offset = 3 WHERE partition = 3"))
        await house.publish(thing(name="5"))
        await eventually(_has(house, 8))

    assert (await house.applied())[5:] == ["3", "4", "5"]


async def test_one_position_that_moved_keeps_nothing_from_the_other_partitions(house: House) -> None:
    intake = house.intake()

    async def is_held() -> bool:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{}%'"
        return await house.query(waiting.format("consumer_offset")) == [(1,)]

    async with running(house.relay().run(), house.runner(intake).run()):
        await house.publish(*(thing(partition=number, name="first") for number in range(12)))
        await eventually(_has(house, 12))
        async with house.billing.begin() as work:
            await work.execute(text("SELECT FROM consumer_offset WHERE partition = 11 FOR UPDATE"))
            await house.publish(thing(partition=11, name="holds the worker"))
            await eventually(is_held)
            # One batch, when the worker goes on.
            await house.publish(*(thing(partition=number, name=f"then {number}") for number in range(11)))
            await eventually(lambda: _log_has(house, 24))
            await work.execute(text("UPDATE consumer_offset SET next_offset = 0 WHERE partition = 0"))
        await eventually(_has(house, 25))

    assert sorted(await house.applied()) == sorted(
        ["first"] * 13 + ["holds the worker"] + [f"then {number}" for number in range(11)]
    )


async def _log_has(house: House, number: int) -> bool:
    return len(await house.on_log(house.things)) == number


async def test_positions_set_back_are_seen_without_a_new_record(house: House) -> None:
    intake = house.intake()
    await house.publish(*(thing(name=str(n)) for n in range(3)))
    async with running(house.relay().run(), house.runner(intake).run()):
        await eventually(_has(house, 3))
        async with house.billing.begin() as work:
            await work.execute(text("UPDATE consumer_offset SET next_offset = 0"))
        await eventually(_has(house, 6))


async def test_offsets_moved_by_hand_in_kafka_mean_nothing(house: House) -> None:
    intake = house.intake()
    await house.publish(*(thing(name=str(n)) for n in range(6)))
    async with running(house.relay().run(), house.runner(intake).run()):
        await eventually(_has(house, 6))
    for moved_to in (0, 100):
        consumer = AIOKafkaConsumer(
            **house.kafka["billing"].client(), group_id=intake.group, enable_auto_commit=False
        )
        await consumer.start()
        consumer.assign([TopicPartition(house.things.name, 3)])
        await consumer.commit({TopicPartition(house.things.name, 3): moved_to})
        await consumer.stop()

        await house.publish(thing(name=f"after {moved_to}"))
        async with running(house.relay().run(), house.runner(intake).run()):
            await eventually(_has(house, 7 if moved_to == 0 else 8))

    assert (await house.applied())[6:] == ["after 0", "after 100"]


async def test_a_topic_made_anew_is_read_from_its_beginning(house: House) -> None:
    intake = house.intake()
    await house.publish(*(thing(name=f"old {n}") for n in range(3)))
    async with running(house.relay().run(), house.runner(intake).run()):
        await eventually(_has(house, 3))

    await house.make_anew(house.things)
    await house.publish(*(thing(name=f"new {n}") for n in range(5)))
    async with running(house.relay().run(), house.runner(intake).run()):
        await eventually(_has(house, 8), within=30)

    assert (await house.applied())[3:] == [f"new {n}" for n in range(5)]


async def test_a_topic_made_anew_under_a_running_worker_is_read_from_its_beginning(house: House) -> None:
    intake = house.intake()
    async with running(house.relay().run(), house.runner(intake).run()):
        await house.publish(*(thing(name=f"old {n}") for n in range(3)))
        await eventually(_has(house, 3))
        await house.make_anew(house.things)
        await house.publish(*(thing(name=f"new {n}") for n in range(5)))
        await eventually(lambda: _all_new(house), within=40)


async def _all_new(house: House) -> bool:
    return {f"new {n}" for n in range(5)} <= set(await house.applied())


async def test_a_log_cut_off_behind_the_position_is_read_from_its_beginning(house: House) -> None:
    intake = house.intake()
    await house.publish(thing(name="a"), thing(name="b"))
    async with running(house.relay().run(), house.runner(intake).run()):
        await eventually(_has(house, 2))
    async with house.billing.begin() as work:
        await work.execute(text("UPDATE consumer_offset SET next_offset = 50 WHERE partition = 3"))

    async with running(house.runner(intake).run()):
        await eventually(_has(house, 4))

    assert (await house.applied())[2:] == ["a", "b"]


async def test_records_that_retention_took_are_passed_over(house: House) -> None:
    intake = house.intake(record, house.others)
    await house.publish(*(house.others.state(**thing(name=str(n)).model_dump()) for n in range(4)))
    async with running(house.relay().run()):
        await eventually(lambda: _quiet(house.pulse(house.campaign, None)))
    admin = AdminClient(house.admin)
    for future in admin.delete_records([AdminPartition(house.others.name, 3, 2)]).values():
        future.result(10)

    async with running(house.runner(intake).run()):
        await eventually(_has(house, 2))

    assert await house.applied() == ["2", "3"]


async def test_records_that_retention_took_under_a_running_worker_are_passed_over(house: House) -> None:
    database_is_away = asyncio.Event()
    database_is_away.set()
    tried = []

    async def flaky(work: Work, states: Sequence[Any]) -> None:
        tried.append(len(states))
        if database_is_away.is_set():
            raise ConnectionResetError
        await record(work, states)

    intake = house.intake(flaky, house.others)
    await house.publish(*(house.others.state(**thing(name=str(n)).model_dump()) for n in range(4)))
    async with running(house.relay().run()):
        await eventually(lambda: _quiet(house.pulse(house.campaign, None)))
    async with running(house.relay().run(), house.runner(intake).run()):
        await eventually(lambda: _is(tried, 1))
        admin = AdminClient(house.admin)
        for future in admin.delete_records([AdminPartition(house.others.name, 3, 4)]).values():
            future.result(10)
        database_is_away.clear()

        await house.publish(house.others.state(**thing(name="4").model_dump()))
        await eventually(_has(house, 1))

    assert (await house.applied())[-1] == "4"


async def test_a_transient_error_is_tried_again_and_nothing_is_parked(house: House) -> None:
    failures = iter([True, True])

    async def flaky(work: Work, states: Sequence[Any]) -> None:
        if next(failures, False):
            raise ConnectionResetError("gone for a moment")
        await record(work, states)

    intake = house.intake(flaky)
    await house.publish(*(thing(name=str(n)) for n in range(3)))
    async with running(house.relay().run(), house.runner(intake).run()):
        await eventually(_has(house, 3))

    assert await house.applied() == ["0", "1", "2"]
    assert await house.query("SELECT count(*) FROM parked") == [(0,)]


async def test_the_batch_that_was_read_behind_one_that_fails_is_not_applied_before_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "MOST_RECORDS", 5)
    calls = count()

    async def flaky(work: Work, states: Sequence[Any]) -> None:
        if next(calls) == 2:
            raise ConnectionResetError("gone for a moment")
        await record(work, states)

    await house.publish(*(thing(name=str(n)) for n in range(40)))
    async with running(house.relay().run()):
        pulse = house.pulse(house.campaign, None)
        await eventually(lambda: _quiet(pulse))
        async with running(house.runner(house.intake(flaky)).run()):
            await eventually(_is_at(house, 40))

    assert await house.applied() == [str(n) for n in range(40)]


def _is_at(house: House, offset: int) -> Any:
    async def there() -> bool:
        return await _next_offset(house) == offset

    return there


@pytest.mark.parametrize("end", [_end_coordination, end_fetching])
async def test_reading_starts_again_when_the_clients_own_task_has_ended(house: House, end: Any) -> None:
    runner = house.runner(house.intake())
    async with running(house.relay().run(), runner.run()):
        await house.publish(thing(name="1"))
        await eventually(_has(house, 1))

        end(runner._reading._consumer)

        # The fetch that is under way still brings one.
        for number in (2, 3):
            await house.publish(thing(name=str(number)))
            await eventually(_has(house, number))


async def test_partitions_that_come_while_the_worker_stops_are_not_taken_up(house: House) -> None:
    runner = house.runner(house.intake())
    async with running(house.relay().run(), runner.run()):
        await house.publish(thing())
        await eventually(_has(house, 1))
        reading = runner._reading

    async with asyncio.timeout(5):
        await reading._seek({TopicPartition(house.things.name, 0)}, reading._generation)


async def test_the_batch_in_flight_is_finished_when_the_worker_is_told_to_stop(house: House) -> None:
    begun = asyncio.Event()

    async def slow(work: Work, states: Sequence[Any]) -> None:
        begun.set()
        await asyncio.sleep(0.5)
        await record(work, states)

    intake = house.intake(slow)
    await house.publish(thing(name="a"))
    async with running(house.relay().run(), house.runner(intake).run()):
        await asyncio.wait_for(begun.wait(), 15)

    assert await house.applied() == ["a"]
    assert await _next_offset(house) == 1


async def _put_unreadable(house: House, partition: int) -> None:
    """A record that aiokafka can't read: the name of its header is no UTF-8."""
    producer = AIOKafkaProducer(**house.kafka["campaign"].client())
    await producer.start()
    try:
        batch = producer.create_batch()
        batch.append(timestamp=None, key=b"k", value=b"{}", headers=[("name", b"")])
        batch.close()
        built = batch._build()
        built[:] = built.replace(b"name", b"\xff\xfe\xfd\xfc")
        built[17:21] = calc_crc32c(built[21:]).to_bytes(4, "big")
        await (await producer.send_batch(batch, house.others.name, partition=partition))
    finally:
        await producer.stop()


async def test_a_record_that_the_client_cannot_read_stops_its_partition_and_takes_nothing_along(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def several(first: int) -> list[Any]:
        numbers = range(first, first + 240)
        return [house.others.state(**thing(partition=n % 12, name=f"{n}").model_dump()) for n in numbers]

    monkeypatch.setattr(breaker, "_FIRST_PAUSE", 2.0)
    await _put_unreadable(house, 6)
    await house.publish(*several(0))
    async with running(house.relay().run()):
        await eventually(lambda: _quiet(house.pulse(house.campaign, None)))
    runner = house.runner(house.intake(record, house.others))
    async with running(house.relay().run(), runner.run()):
        await eventually(_has(house, 220))
        await eventually(lambda: _says(runner, f"{house.others.name}/6"))
        stopped = REGISTRY.get_sample_value("souk_breaker_open", {"topic": house.others.name})
        await house.publish(*several(240))
        await eventually(_has(house, 440))
        admin = AdminClient(house.admin)
        for future in admin.delete_records([AdminPartition(house.others.name, 6, 1)]).values():
            future.result(10)
        await eventually(_has(house, 480), within=30)

    assert sorted(map(int, await house.applied())) == list(range(480))
    assert stopped == 1


async def _says(runner: IntakeRunner, words: str) -> bool:
    return words in (runner.ready() or "")


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_records_are_read_whatever_compresses_them(
    connected: Any, topic_copies: Any, codec: str
) -> None:
    """Kafka itself, where `compression.type` of the topic says so, and a client of another kind."""
    kept = dataclasses.replace(THINGS, config={**THINGS.config, "compression.type": codec})
    async with connected(*topic_copies(kept, OTHERS)) as house:
        by_kafka = thing(name="a" * 10_000)
        mirrored = house.others.state(**thing(name="b" * 10_000).model_dump())
        mirror = Producer(house.admin | {"compression.codec": codec})
        mirror.produce(
            house.others.name,
            house.others.dump(mirrored),
            house.others.key(mirrored),
            partition=house.others.partition(mirrored),
        )
        await asyncio.to_thread(mirror.flush)
        await house.publish(by_kafka)
        intake = house.intake(record, house.things, house.others)
        async with running(house.relay().run(), house.runner(intake).run()):
            await eventually(_has(house, 2))

        assert sorted(await house.applied()) == [by_kafka.name, mirrored.name]
