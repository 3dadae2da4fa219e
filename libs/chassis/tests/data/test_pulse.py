"""Quiet is said only when nothing is on its way."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from souk.chassis import gauges
from souk.chassis.metrics import OUTBOX_AGE_SECONDS, OUTBOX_ROWS
from souk.chassis.work import Work

from .conftest import START, House, eventually, record, running, thing


async def test_a_record_on_its_way_is_always_in_a_reading(house: House) -> None:
    held = asyncio.Event()

    async def slow(work: Work, states: Sequence[Any]) -> None:
        await held.wait()
        await record(work, states)

    intake = house.intake(slow)
    writer, reader = house.pulse(house.campaign, None), house.pulse(house.billing, intake)
    await house.publish(*(thing(partition=n) for n in range(12)))
    waiting = await writer.read()

    async with running(house.relay().run(), house.runner(intake).run()):
        await eventually(lambda: _outbox_empty(writer))
        behind = await reader.read()
        held.set()
        await eventually(lambda: _caught_up(reader))
        done = await reader.read()

    assert (waiting.outbox, behind.lag, done.lag) == (12, 12, 0)
    assert done.progress == behind.progress + 12


async def test_the_first_timer_after_the_clock_is_named(desk: House) -> None:
    async with desk.billing.begin() as work:
        work.schedule("k", "a", START)
        work.schedule("k", "b", START + timedelta(hours=2))
        work.schedule("k", "c", START + timedelta(hours=1))

    reading = await desk.pulse(desk.billing, None).read()

    assert (reading.due, reading.next_due) == (1, START + timedelta(hours=1))


async def test_gauges_tell_how_much_waits_and_since_when(house: House, monkeypatch: Any) -> None:
    monkeypatch.setattr(gauges, "EVERY_SECONDS", 0.05)
    await house.publish(*(thing(partition=n) for n in range(3)))

    async with running(gauges.keep(house.campaign, None)):
        await eventually(lambda: _reads(OUTBOX_AGE_SECONDS, above=0))
        waiting = OUTBOX_ROWS._value.get()
        async with running(house.relay().run()):
            await eventually(lambda: _reads(OUTBOX_ROWS, above=-1, below=1))
        await eventually(lambda: _reads(OUTBOX_AGE_SECONDS, above=-1, below=1e-9))

    assert waiting == 3


async def _reads(gauge: Any, *, above: float, below: float = 1e9) -> bool:
    return bool(above < gauge._value.get() < below)


async def _outbox_empty(pulse: Any) -> bool:
    return bool((await pulse.read()).outbox == 0)


async def _caught_up(pulse: Any) -> bool:
    return bool((await pulse.read()).lag == 0)
