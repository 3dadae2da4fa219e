"""A record that can't be applied is set aside and the partition goes on; too many of them stop it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Self
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from prometheus_client import REGISTRY
from pydantic import model_validator
from sqlalchemy import text

from souk.chassis import deadletter
from souk.chassis.breaker import Breaker
from souk.chassis.consumer import IntakeRunner
from souk.chassis.relay import Relay
from souk.chassis.work import Work

from .conftest import House, Thing, eventually, record, running, thing


def _dump(house: House, name: str, id: Any = None) -> tuple[int, bytes, bytes]:  # noqa: A002
    state = thing(name=name, id=id)
    return 3, house.things.key(state), house.things.dump(state)


async def test_a_poison_record_is_parked_and_the_partition_goes_on(house: House) -> None:
    intake = house.intake()
    await house.produce(
        _dump(house, "a"), (3, b"k", b"no json"), (3, b"k", None), _dump(house, "bad"), _dump(house, "z")
    )

    async with running(house.runner(intake).run()):
        await eventually(lambda: _applied(house, ["a", "z"]))
        parked = await deadletter.list_parked(house.billing)
        pulse = await house.pulse(house.billing, intake).read()

    assert [(each.topic, each.partition, each.offset) for each in parked] == [
        (house.things.name, 3, offset) for offset in (1, 2, 3)
    ]
    applied = REGISTRY.get_sample_value("souk_records_applied_total", {"topic": house.things.name})
    assert applied == 2
    assert parked[0].error.startswith("UnreadableError")
    assert parked[2].error == "LookupError: no bad"
    assert (pulse.parked, pulse.lag) == (3, 0)


class Odd(Thing):
    @model_validator(mode="after")
    def refuse(self) -> Self:
        if self.name == "odd":
            raise TypeError("neither a value error nor an assertion: pydantic lets it through")
        return self


async def test_a_record_at_which_a_validator_fails_is_parked_too(house: House) -> None:
    house.things = replace(house.things, state=Odd)
    await house.produce(_dump(house, "a"), _dump(house, "odd"), _dump(house, "z"))

    async with running(house.runner(house.intake()).run()):
        await eventually(lambda: _applied(house, ["a", "z"]))
        [parked] = await deadletter.list_parked(house.billing)

    assert parked.offset == 1
    assert parked.error.startswith("UnreadableError")


async def test_a_copy_of_a_parked_record_goes_to_the_dead_letter_topic(house: House) -> None:
    unique = uuid4().hex.encode()
    await house.produce((3, unique, b"no json"), headers=[("x", b"1"), ("y", None), ("z", b"\xff")])

    async with running(house.runner(house.intake()).run()):
        await eventually(lambda: deadletter.list_parked(house.billing))
    async with running(Relay(house.billing, house.kafka["billing"]).run()):

        async def copied() -> list[Any]:
            return [
                each for each in await house.on_log("souk.billing.dlq", partitions=1) if each.key == unique
            ]

        (dead,) = await eventually(copied)

    headers = dict(dead.headers)
    assert dead.value == b"no json"
    assert headers["souk_topic"] == house.things.name.encode()
    assert (headers["souk_partition"], headers["souk_offset"], headers["x"], headers["z"]) == (
        b"3",
        b"0",
        b"1",
        b"\xff",
    )
    (parked,) = await deadletter.list_parked(house.billing)
    shown = await deadletter.show(house.billing, parked.id)
    assert shown is not None
    assert shown.value == "no json"


async def test_an_error_tells_nothing_of_what_is_in_the_record(house: House, caplog: Any) -> None:
    iban = "ES9121000418450200051332"
    unreadable = house.things.dump(thing()).replace(b'"name":""', b'"name":{"iban":"%s"}' % iban.encode())

    async def handler(work: Work, states: Sequence[Any]) -> None:
        for state in states:
            await work.execute(
                text("INSERT INTO copy (id, name) VALUES (:id, :name)"), {"id": state.id, "name": state.name}
            )

    await house.produce((3, b"k", unreadable), _dump(house, iban))
    async with running(house.runner(house.intake(handler)).run()):
        await eventually(lambda: _parked(house, 2))

    first, second = await deadletter.list_parked(house.billing)
    assert first.error == "UnreadableError: ValidationError: name: Input should be a valid string"
    assert second.error.startswith('NotNullViolationError: 23502 null value in column "version"')
    for told in (first.error, second.error, caplog.text):
        assert iban not in told
    assert await house.query("SELECT count(*) FROM outbox WHERE position('ES91' IN headers::text) > 0") == [
        (0,)
    ]


async def test_the_next_valid_state_of_a_key_supersedes_what_is_parked_of_it(house: House) -> None:
    key, other = uuid4(), uuid4()
    intake = house.intake()
    async with running(house.runner(intake).run()):
        await house.produce(_dump(house, "bad", key), _dump(house, "bad", other))
        await eventually(lambda: _parked(house, 2))
        await house.produce(_dump(house, "good", key))
        await eventually(lambda: _applied(house, ["good"]))

    assert [each.key for each in await deadletter.list_parked(house.billing)] == [str(other)]


async def test_what_is_parked_of_a_log_that_is_no_more_stays_and_is_superseded(house: House) -> None:
    key, other = uuid4(), uuid4()
    intake = house.intake()
    async with running(house.runner(intake).run()):
        await house.produce(_dump(house, "bad", other), _dump(house, "bad", key))
        await eventually(lambda: _parked(house, 2))
    await house.make_anew(house.things)

    await house.produce((3, b"k", b"no json"), _dump(house, "good", key))
    async with running(house.runner(intake).run()):
        await eventually(lambda: _applied(house, ["good"]))

    assert [each.key for each in await deadletter.list_parked(house.billing)] == [str(other), "k"]


async def test_a_nul_that_the_error_quotes_keeps_nothing_from_being_parked(house: House) -> None:
    quoted = house.things.dump(thing()).replace(b'"group":"', b'"group":"\\u0000')
    await house.produce(_dump(house, "a"), (3, b"k", quoted), _dump(house, "z"))

    async with running(house.runner(house.intake()).run()):
        await eventually(lambda: _applied(house, ["a", "z"]))

    [parked] = await deadletter.list_parked(house.billing)
    assert "found ``" in parked.error


@pytest.mark.parametrize(("key", "header"), [(1, 1_048_400), (1_048_400, 1)])
async def test_the_copy_of_a_record_as_large_as_kafka_takes_is_one_that_it_takes(
    house: House, key: int, header: int
) -> None:
    await house.produce((3, b"k" * key, b"no json"), headers=[("x", b"x" * header)])
    async with running(house.runner(house.intake()).run()):
        await eventually(lambda: _parked(house, 1))

    async with running(Relay(house.billing, house.kafka["billing"]).run()):
        await eventually(lambda: _nothing_to_send(house))


async def _nothing_to_send(house: House) -> bool:
    return await house.query("SELECT count(*) FROM outbox") == [(0,)]


async def test_parked_records_are_tried_again_in_order_and_those_that_fail_stay(house: House) -> None:
    mended = False

    async def handler(work: Work, states: Sequence[Any]) -> None:
        if mended:
            for state in states:
                if state.name == "bad 1":
                    raise LookupError("still bad")
            return
        await record(work, states)

    intake = house.intake(handler)
    await house.produce(*(_dump(house, f"bad {n}") for n in range(5)))
    async with running(house.runner(intake).run()):
        await eventually(lambda: _parked(house, 5))

    mended = True
    first = await deadletter.retry(house.billing, intake, limit=3)
    second = await deadletter.retry(house.billing, intake, limit=3, after=first.last or 0)
    third = await deadletter.retry(house.billing, intake, limit=3, after=second.last or 0)

    assert (first.applied, first.failed) == (2, 1)
    assert (second.applied, second.failed) == (2, 0)
    assert third.last is None
    (left,) = await deadletter.list_parked(house.billing)
    assert (left.error, left.attempts) == ("LookupError: still bad", 2)
    assert await deadletter.drop(house.billing, [left.id]) == 1
    assert await deadletter.list_parked(house.billing) == []


async def test_a_bad_deployment_stops_the_partition_instead_of_parking_the_world(house: House) -> None:
    intake = house.intake()
    other = thing(partition=5, name="fine")
    await house.produce(
        *(_dump(house, f"bad {n}") for n in range(40)),
        (5, house.things.key(other), house.things.dump(other)),
    )
    runner = house.runner(intake, park_run=5)

    async with running(runner.run()):
        await eventually(lambda: _parked(house, 5))
        await eventually(lambda: _applied(house, ["fine"]))

        await eventually(lambda: _is_stopped(runner))
        rows = await house.query("SELECT next_offset FROM consumer_offset WHERE partition = 3")

    assert rows == [(5,)]
    assert len(await deadletter.list_parked(house.billing)) == 5


async def test_a_stopped_partition_that_goes_elsewhere_is_no_longer_told_of(house: House) -> None:
    async with _failing_at_both_ends(house) as runner:
        await eventually(lambda: _held(house, 2))
        async with _another_member(house):
            await eventually(lambda: _held(house, 1))
            await eventually(lambda: _is_stopped(runner))

            assert await _held(house, 1)
            assert await _parked(house, 2)

    assert await _held(house, 0)


async def test_a_batch_that_outlives_its_assignment_stops_only_what_is_still_here(
    house: House, caplog: Any
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    async with _failing_at_both_ends(house, begun, go_on) as runner:
        await asyncio.wait_for(begun.wait(), 15)
        async with _another_member(house):

            async def reassigned() -> bool:
                return "12 partitions not positioned" in (runner.ready() or "")

            await eventually(reassigned)
            go_on.set()
            await eventually(lambda: _is_stopped(runner))

            assert await _held(house, 1)
    assert not [each for each in caplog.records if each.exc_info]


@asynccontextmanager
async def _failing_at_both_ends(
    house: House, begun: asyncio.Event | None = None, go_on: asyncio.Event | None = None
) -> AsyncIterator[IntakeRunner]:
    """A worker whose handlers fail, with records in the first partition of one topic and in the last of
    another: so one of them stays when it shares its partitions with another member."""

    async def handler(work: Work, states: Sequence[Any]) -> None:
        if begun and go_on:
            begun.set()
            await go_on.wait()
        raise LookupError("bad deployment")

    first = [thing(partition=0) for _ in range(2)]
    last = [house.others.state(**thing(partition=11).model_dump()) for _ in range(2)]
    await house.publish(*first, *last)
    async with running(house.relay().run()):
        await eventually(lambda: _sent(house))
    runner = house.runner(house.intake(handler, house.things, house.others), park_run=1)
    async with running(runner.run()):
        yield runner


@asynccontextmanager
async def _another_member(house: House) -> AsyncIterator[None]:
    consumer = AIOKafkaConsumer(
        house.things.name,
        house.others.name,
        **house.kafka["billing"].client(),
        group_id="souk.billing",
        enable_auto_commit=False,
        partition_assignment_strategy=(RangePartitionAssignor,),
    )
    await consumer.start()
    try:
        yield
    finally:
        await consumer.stop()


async def _sent(house: House) -> bool:
    return (await house.pulse(house.campaign, None).read()).outbox == 0


async def _held(house: House, topics: int) -> bool:
    """Whether the breaker holds so many of the topics."""
    names = (house.things.name, house.others.name)
    return (
        sum(REGISTRY.get_sample_value("souk_breaker_open", {"topic": name}) or 0 for name in names) == topics
    )


async def _is_stopped(runner: IntakeRunner) -> bool:
    return "can't be applied" in (runner.ready() or "")


async def test_a_stopped_partition_goes_on_once_its_records_can_be_applied(
    house: House, monkeypatch: Any
) -> None:
    from souk.chassis import breaker

    monkeypatch.setattr(breaker, "_FIRST_PAUSE", 0.3)
    broken = True
    tries: Counter[str] = Counter()

    async def handler(work: Work, states: Sequence[Any]) -> None:
        if broken:
            tries[states[0].name] += 1
            raise LookupError("bad deployment")
        await record(work, states)

    async def tried_again_and_again() -> bool:
        return tries["3"] > 2

    intake = house.intake(handler)
    await house.produce(*(_dump(house, f"{n}") for n in range(10)))
    runner = house.runner(intake, park_run=3)
    async with running(runner.run()):
        await eventually(tried_again_and_again)
        still = len(await deadletter.list_parked(house.billing))
        broken = False
        await eventually(lambda: _applied(house, [f"{n}" for n in range(3, 10)]))
        await eventually(lambda: _is_ready(runner))

    assert still == 3


async def _is_ready(runner: Any) -> bool:
    return runner.ready() is None


def test_a_run_of_parked_records_opens_the_breaker() -> None:
    breaker = Breaker(limit=3)
    for _ in range(3):
        assert not breaker.refuses()
        breaker = breaker.parked()

    assert breaker.refuses()
    assert not breaker.applied().refuses()


def test_a_ratio_of_parked_records_opens_the_breaker() -> None:
    breaker = Breaker(limit=3)
    for _ in range(4):
        breaker = breaker.parked().parked().applied()

    assert breaker.refuses()


def test_each_pause_is_longer_and_one_good_record_ends_it() -> None:
    breaker = Breaker(limit=1).parked().stopped()

    assert breaker.pause == 30
    assert breaker.stopped().pause == 60
    assert breaker.refuses()
    assert breaker.applied() == Breaker(limit=1)


async def _applied(house: House, names: list[str]) -> bool:
    return await house.applied() == names


async def _parked(house: House, count: int) -> bool:
    return len(await deadletter.list_parked(house.billing)) == count
