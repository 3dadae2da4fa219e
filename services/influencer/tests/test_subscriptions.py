"""Facts arrive through Kafka in any order and say the same in the end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import permutations
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
from souk.influencer.subscriptions import intake
from souk.influencer.timers import timers


@dataclass(frozen=True, slots=True)
class Reading:
    producer: AIOKafkaProducer
    pulse: Pulse

    async def hear(self, *states: State) -> None:
        """Publish, and wait until all of it is read and what it made due is done."""
        for state in states:
            topic = topic_of(type(state))
            headers = envelope.encode(
                source=f"/souk/{topic.owner}",
                event=topic.events[0],
                subject=str(state.id),
                schema=topic.schema_id,
                time=state.changed_at,
                traceparent=None,
            )
            await self.producer.send_and_wait(
                topic.name,
                topic.dump(state),
                key=topic.key(state),
                partition=topic.partition(state),
                headers=envelope.unpack(headers),
            )
        await _eventually(self.quiet)

    async def quiet(self) -> bool:
        reading = await self.pulse.read()
        return reading.lag == 0 and reading.due == 0


async def _eventually(holds: Callable[[], Awaitable[bool]], within: float = 60) -> None:
    async with asyncio.timeout(within):
        while not await holds():  # noqa: ASYNC110  servers have no event of ours
            await asyncio.sleep(0.05)


@pytest.fixture
async def reading(suite: Any, stack: Any, topics: Any) -> AsyncIterator[Reading]:
    access = stack.kafka.access("influencer")
    ends = LogEnds(access)
    producer = AIOKafkaProducer(**stack.kafka.access("admin").client(), enable_idempotence=True)
    await producer.start()
    intake_runner = IntakeRunner(intake, suite.units, access, park_run=20)
    timer_runner = TimerRunner(timers, suite.units, barrier(intake, suite.units, ends))
    tasks = [asyncio.create_task(each.run()) for each in (intake_runner, timer_runner)]

    async def ready() -> bool:
        return intake_runner.ready() is None

    try:
        await _eventually(ready)
        yield Reading(producer, Pulse(suite.units, intake, ends))
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)
        await producer.stop()
        await ends.close()


def _story(suite: Any) -> tuple[Any, Any, Sequence[State]]:
    """A draft is approved and its budget opened; an account is connected, and grows."""
    who, draft = uuid4(), suite.campaign(lifecycle="draft", approved_at=None, audience={"followers_min": 50})
    approved = draft.model_copy(
        update={"version": 2, "lifecycle": "approved", "approved_at": draft.created_at}
    )
    account = suite.account(who, followers=10)
    grown = account.model_copy(update={"version": 2, "followers": 70})
    return who, draft, [draft, approved, suite.budget(draft), account, grown]


async def test_facts_in_every_order_give_the_same_answers(suite: Any, reading: Reading) -> None:
    orders = list(permutations(range(5)))[::17]
    stories = [_story(suite) for _ in orders]
    for who, _, _ in stories:
        await suite.influencer(id=str(who))

    for step in range(5):
        await reading.hear(
            *(facts[order[step]] for order, (_, _, facts) in zip(orders, stories, strict=True))
        )

    for who, campaign, _ in stories:
        offer = await suite.staff.get(f"/v1/offers/{campaign.id}", influencer_id=str(who))
        assert (offer.status_code, offer.json()["status"]) == (200, "upcoming"), offer.text
        assert (await suite.due())["campaign.starts", str(campaign.id)] == campaign.starts_at
    own = {campaign.id for _, campaign, _ in stories}
    told = await _told(suite, own)
    assert len(set(told)) == len(told), "nobody is told twice"
    listed = (await suite.staff.get("/v1/influencers")).json()["items"]
    assert {item["followers"] for item in listed} == {70}


async def test_reading_everything_again_announces_nothing_again(suite: Any, reading: Reading) -> None:
    who, campaign, facts = _story(suite)
    await suite.influencer(id=str(who))
    await reading.hear(facts[3], facts[4])
    await reading.hear(*facts[:3])
    once = await _told(suite, {campaign.id})

    await reading.hear(*facts)
    await reading.hear(*reversed(facts))

    assert once == [(who, campaign.id)]
    assert await _told(suite, {campaign.id}) == once


async def test_copies_written_anew_announce_nothing_again(suite: Any, reading: Reading) -> None:
    who, campaign, facts = _story(suite)
    await suite.influencer(id=str(who))
    await reading.hear(facts[3], facts[4])
    await reading.hear(*facts[:3])
    once = await _told(suite, {campaign.id})

    reset = await rebuild(suite.units, intake, intake.copies)
    await _eventually(reading.quiet)

    assert reset.keys() == intake.copies.keys()
    offer = await suite.staff.get(f"/v1/offers/{campaign.id}", influencer_id=str(who))
    assert (offer.status_code, offer.json()["status"]) == (200, "upcoming"), offer.text
    assert once == [(who, campaign.id)]
    assert await _told(suite, {campaign.id}) == once


async def _told(suite: Any, campaigns: set[UUID]) -> list[tuple[UUID, UUID]]:
    """Who was told of which of these; other tests' campaigns are on the shared topics too."""
    return [
        (recipient.influencer_id, campaign)
        for one in await suite.published("announcement")
        for recipient in one.recipients
        for campaign in recipient.campaign_ids
        if campaign in campaigns
    ]
