"""From a unit of work to the reader's commit on an idle system, one state at a time."""

import asyncio
from statistics import median
from time import perf_counter, process_time

import asyncpg
import reading
import things
from harness import Memory, Result, Size, in_child, percentile
from place import servers_alone

from souk.chassis.relay import Relay
from souk.chassis.settings import KafkaAccess

_SEEN = "SELECT EXISTS (SELECT FROM copy WHERE id = $1)"
_BUSY_SECONDS = 3.0


async def measure(size: Size) -> list[Result]:
    async with servers_alone() as place:
        await things.settle(place)
        with Memory() as memory:
            taken, busy = await in_child(
                _one_by_one,
                (place.database("campaign"), place.access("campaign")),
                (place.database("billing"), place.access("billing")),
                size.of(full=200, quick=25),
                memory=memory,
                name="relay and intake",
            )
    return [
        Result(
            workload="idle path",
            unit="ms",
            figures=[median(taken)],
            memory=memory.peaks,
            also={
                "p99 ms": percentile(taken, 0.99),
                "states": len(taken),
                "idle relay and intake, % of a core": busy * 100,
            },
        )
    ]


async def _one_by_one(
    writer: tuple[str, KafkaAccess], reader: tuple[str, KafkaAccess], count: int
) -> tuple[list[float], float]:
    """Milliseconds of each state, 0.2 s apart, and the share of a core that both take when there is none."""
    writing, copying = things.units(writer[0], "campaign"), things.units(reader[0], "billing")
    connection = await asyncpg.connect(reader[0])
    relaying = asyncio.create_task(Relay(writing, writer[1]).run())

    async def one() -> float:
        state = things.thing()
        started = perf_counter()
        async with writing.begin() as work:
            work.publish("thing.made", state)
        async with asyncio.timeout(60):
            while not await connection.fetchval(_SEEN, state.id):  # noqa: ASYNC110  of another connection
                await asyncio.sleep(0.001)
        return (perf_counter() - started) * 1000

    async with reading.reading(things.intake(), copying, reader[1]):
        for _ in range(10):
            await one()
        taken = []
        for _ in range(count):
            await asyncio.sleep(0.2)
            taken.append(await one())
        before = process_time()
        await asyncio.sleep(_BUSY_SECONDS)
        busy = (process_time() - before) / _BUSY_SECONDS
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
    for units in (writing, copying):
        await units.engine.dispose()
    await connection.close()
    return taken, busy
