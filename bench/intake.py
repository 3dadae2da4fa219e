"""States from Kafka into a read copy, exactly once, beside `COPY` of the same rows into the same table.

Both start from an empty table with its primary key and write 1,000 rows a transaction. The intake reads
its topic from the beginning; `COPY` has its rows in memory.
"""

from time import perf_counter

import asyncpg
import reading
import things
from harness import Memory, Result, Size, alternate, in_child
from place import produce, record_of, servers_alone

from souk.chassis.consumer import MOST_RECORDS
from souk.chassis.settings import KafkaAccess

_EMPTY = "TRUNCATE copy, consumer_offset"


async def measure(size: Size) -> list[Result]:
    total = size.of(full=100_000, quick=40_000)
    async with servers_alone() as place:
        await things.settle(place)
        url, access = place.database("billing"), place.access("billing")
        await in_child(_fill, place.access("campaign"), total)
        with Memory() as memory:
            figures, limits = await alternate(
                size.rounds,
                lambda: in_child(_intake, url, access, total, memory=memory, name="intake"),
                lambda: in_child(_copy, url, total),
            )
    return [
        Result(
            workload="intake",
            unit="records/s",
            figures=figures,
            limits=limits,
            floor=0.25,
            memory=memory.peaks,
            also={"records a round": total, "bytes each": things.BYTES},
        )
    ]


async def _fill(access: KafkaAccess, total: int) -> None:
    await produce(access, [record_of(things.THINGS, things.thing()) for _ in range(total)])


async def _intake(url: str, access: KafkaAccess, total: int) -> float:
    units = things.units(url, "billing")
    connection = await asyncpg.connect(url)
    await connection.execute(_EMPTY)
    found = await reading.rate(things.intake(), units, url, access, topic=things.THINGS.name, end=total)
    copied = await connection.fetchval("SELECT count(*) FROM copy")
    if copied != total:
        raise RuntimeError(f"{copied} of {total} states are in the copy")
    await connection.close()
    await units.engine.dispose()
    return found


async def _copy(url: str, total: int) -> float:
    rows = [tuple(things.row_of(things.thing()).values()) for _ in range(total)]
    connection = await asyncpg.connect(url)
    await connection.execute(_EMPTY)
    started = perf_counter()
    for start in range(0, total, MOST_RECORDS):
        await connection.copy_records_to_table("copy", records=rows[start : start + MOST_RECORDS])
    taken = perf_counter() - started
    await connection.close()
    return total / taken
