"""Through real Kafka: whatever the order in which facts arrive, the same people are told the same."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaProducer

from souk.chassis import envelope
from souk.chassis.consumer import IntakeRunner
from souk.chassis.ends import LogEnds, barrier
from souk.chassis.pulse import Pulse
from souk.chassis.rebuild import rebuild
from souk.chassis.timer_runner import TimerRunner
from souk.contracts.state import State
from souk.contracts.topics import topic_of
from souk.notify.subscriptions import intake
from souk.notify.timers import timers_of

from .conftest import (
    HOUR,
    START,
    House,
    announcement,
    budget,
    campaign,
    contact,
    eventually,
    influencer,
    participation,
    payment,
    post,
    running,
)


class Reading:
    """The service reading real topics, and whoever writes them."""

    def __init__(self, house: House, producer: AIOKafkaProducer, pulse: Pulse) -> None:
        self.house = house
        self.producer = producer
        self.pulse = pulse

    async def hear(self, *states: State) -> None:
        """Publish and wait until all is read and what that made due is done."""
        sent = []
        for state in states:
            topic = topic_of(type(state))
            headers = envelope.encode(
                source=f"/souk/{topic.owner}",
                event=topic.events[0],
                subject=str(state.id),
                schema=topic.schema_id,
                time=START,
                traceparent=None,
            )
            sent.append(
                await self.producer.send(
                    topic.name,
                    topic.dump(state),
                    key=topic.key(state),
                    partition=topic.partition(state),
                    headers=envelope.unpack(headers),
                )
            )
        await asyncio.gather(*sent)
        await eventually(self.quiet, within=30)

    async def quiet(self) -> bool:
        reading = await self.pulse.read()
        return reading.lag == 0 and reading.due == 0

    async def told(self, of: UUID) -> list[tuple[Any, ...]]:
        return await self.house.query(
            "SELECT kind, channel, status, detail FROM delivery "
            f"WHERE influencer_id = '{of}' ORDER BY kind, channel"
        )


@pytest.fixture
async def reading(house: House, stack: Any, topics: Any) -> AsyncIterator[Reading]:
    async with _reading(house, stack) as made:
        yield made


@asynccontextmanager
async def _reading(house: House, stack: Any) -> AsyncIterator[Reading]:
    ends = LogEnds(stack.kafka.access("notify"))
    producer = AIOKafkaProducer(**stack.kafka.access("admin").client(), enable_idempotence=True)
    await producer.start()
    intake_runner = IntakeRunner(intake, house.units, stack.kafka.access("notify"), park_run=20)
    timer_runner = TimerRunner(timers_of({}), house.units, barrier(intake, house.units, ends))
    try:
        async with running(intake_runner.run(), timer_runner.run()):
            await eventually(lambda: _ready(intake_runner), within=30)
            yield Reading(house, producer, Pulse(house.units, intake, ends))
    finally:
        await producer.stop()
        await ends.close()


async def _ready(runner: IntakeRunner) -> bool:
    return runner.ready() is None


def facts() -> tuple[UUID, Sequence[State]]:
    """A story of a new influencer and a new campaign, in the order in which it happened."""
    marie, spring = uuid4(), uuid4()
    return marie, [
        contact(marie),
        influencer(marie),
        campaign(spring),
        announcement({marie: [spring]}),
        participation(marie, spring, applied_at=START),
        post(marie, post_id=uuid4(), status="approved", approved_at=START, campaign_id=spring),
        budget(spring, exhausted_at=START + HOUR),
        payment(marie, payment_id=uuid4(), status="paid"),
    ]


ORDERS: list[list[int]] = [
    [0, 1, 2, 3, 4, 5, 6, 7],
    [7, 6, 5, 4, 3, 2, 1, 0],
    [3, 4, 6, 2, 0, 5, 7, 1],
    [6, 0, 3, 5, 4, 7, 1, 2],
]


async def test_facts_in_every_order_tell_the_same(reading: Reading) -> None:
    results = []
    for order in ORDERS:
        marie, story = facts()
        for number in order:
            await reading.hear(story[number])
        results.append(await reading.told(marie))

    assert [kind for kind, *_ in results[0]] == [
        "campaign.over_budget",
        *["campaign.started"] * 3,
        "participation.approved",
        *["payment.paid"] * 2,
        "post.approved",
    ]
    assert all(result == results[0] for result in results)


async def test_reading_everything_again_tells_nobody_twice(reading: Reading) -> None:
    marie, story = facts()
    await reading.hear(*story)
    once = await reading.told(marie)

    await reading.hear(*story)
    await reading.hear(*reversed(story))

    assert await reading.told(marie) == once
    assert len(once) == 8


async def test_copies_written_anew_tell_nobody_again(reading: Reading) -> None:
    marie, story = facts()
    await reading.hear(*story)
    once = await reading.told(marie)

    reset = await rebuild(reading.house.units, intake, intake.copies)
    await eventually(reading.quiet, within=30)

    assert reset.keys() == intake.copies.keys()
    assert await reading.house.query("SELECT count(*) FROM campaign WHERE version = 0") == [(0,)]
    assert await reading.told(marie) == once
