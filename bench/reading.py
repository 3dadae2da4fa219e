"""An intake at work on a topic, timed from its first commit to its last."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import asyncpg
from harness import until

from souk.chassis.consumer import IntakeRunner
from souk.chassis.intake import Intake
from souk.chassis.settings import KafkaAccess
from souk.chassis.work import Units

_APPLIED = "SELECT coalesce(sum(next_offset), 0)::bigint FROM consumer_offset WHERE topic = ANY($1)"


async def applied(connection: Any, *topics: str) -> int:
    """How many records of the topics the database has taken in; none of them lost its beginning."""
    count: int = await connection.fetchval(_APPLIED, list(topics))
    return count


async def rate(intake: Intake, units: Units, url: str, access: KafkaAccess, *, topic: str, end: int) -> float:
    """Records a second of `topic` until the database has `end` of them.

    What the first commit brought is not counted, nor the time that joining the group took before it.
    """
    connection = await asyncpg.connect(url)
    before = await applied(connection, topic)
    first, first_at = 0, 0.0

    async def begun() -> bool:
        nonlocal first, first_at
        first, first_at = await applied(connection, topic), perf_counter()
        return first > before

    async def over() -> bool:
        return await applied(connection, topic) >= end

    try:
        async with reading(intake, units, access):
            await until(begun, every=0.005)
            await until(over, every=0.005, within=600)
            return (end - first) / (perf_counter() - first_at)
    finally:
        await connection.close()


@asynccontextmanager
async def reading(intake: Intake, units: Units, access: KafkaAccess) -> AsyncIterator[None]:
    """The intake runs while the block does."""
    running = asyncio.create_task(IntakeRunner(intake, units, access).run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
