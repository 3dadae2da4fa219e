"""What is said of the records that wait."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import REGISTRY
from sqlalchemy import text

from souk.chassis.ends import LogEnds
from souk.chassis.work import Work
from souk.contracts.topic import COMPACTED

from .conftest import OTHERS, House, Thing, end_fetching, eventually, record, running, thing, topic

STAMPED = topic("thing", Thing, {**COMPACTED, "message.timestamp.type": "CreateTime"})


async def test_lag_is_the_age_of_the_oldest_record_that_is_not_applied(
    connected: Any, topic_copies: Any
) -> None:
    go_on = asyncio.Event()

    async def handler(work: Work, states: Sequence[Any]) -> None:
        await go_on.wait()
        await record(work, states)

    async with connected(*topic_copies(STAMPED, OTHERS)) as house:

        async def waiting(count: int) -> bool:
            labels = {"topic": house.things.name}
            return REGISTRY.get_sample_value("souk_consumer_lag_records", labels) == count

        def oldest() -> float:
            age = REGISTRY.get_sample_value("souk_consumer_lag_seconds", {"topic": house.things.name})
            assert age is not None
            return age

        async def send(partition: int, age: timedelta) -> None:
            state = thing(partition=partition)
            value = (partition, house.things.key(state), house.things.dump(state))
            await house.produce(value, appended=datetime.now(UTC) - age)

        await send(3, timedelta(hours=1))
        await send(5, timedelta(hours=2))
        async with running(house.runner(house.intake(handler)).run()):
            await eventually(lambda: waiting(2))
            stuck_from_the_start = oldest()
            go_on.set()
            await eventually(lambda: waiting(0))
            caught_up = oldest()
            go_on.clear()
            await send(3, timedelta())
            await eventually(lambda: waiting(1))
            first_after_a_pause = oldest()
            go_on.set()

    assert 7200 <= stuck_from_the_start < 7260
    assert caught_up == 0
    assert first_after_a_pause < 60


async def test_lag_is_told_while_the_database_tells_no_positions(connected: Any, topic_copies: Any) -> None:
    async with connected(*topic_copies(STAMPED, OTHERS)) as house:

        async def late() -> bool:
            age = REGISTRY.get_sample_value("souk_consumer_lag_seconds", {"topic": house.things.name})
            return age is not None and age >= 3600

        async def send(age: timedelta) -> None:
            state = thing(partition=3)
            value = (3, house.things.key(state), house.things.dump(state))
            await house.produce(value, appended=datetime.now(UTC) - age)

        async with running(house.runner(house.intake(record)).run()):
            await send(timedelta())
            await eventually(house.applied)
            async with house.billing.begin() as work:
                await work.execute(text("ALTER TABLE consumer_offset RENAME TO away"))
            await send(timedelta(hours=1))
            await eventually(late)
            async with house.billing.begin() as work:
                await work.execute(text("ALTER TABLE away RENAME TO consumer_offset"))


async def test_the_age_of_a_record_is_asked_for_anew_when_the_clients_own_task_has_ended(
    house: House,
) -> None:
    await house.produce((3, b"key", b"value"))
    wanted = {TopicPartition(house.things.name, 3): 0}
    async with LogEnds(house.kafka["billing"]) as ends:
        before = await ends.times_at(wanted)
        end_fetching(ends._consumer)
        with pytest.raises(KafkaError, match="during data retrieval"):
            await ends.times_at(wanted)

        assert await ends.times_at(wanted) == before != {}
