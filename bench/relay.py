"""States of 400 bytes from PostgreSQL to acknowledged in Kafka, beside a bare producer of the same bytes.

The clock starts when the rows are committed and stops when Kafka has acknowledged and the outbox has lost
the last of them. The bare producer has its records in memory, keeps three batches of 500 in flight as the
relay does, and is done when all are acknowledged.
"""

import asyncio
from time import perf_counter

import asyncpg
import things
from harness import Memory, Result, Size, alternate, in_child, until
from place import producing, send, servers_alone

from souk.chassis import envelope
from souk.chassis.relay import Relay
from souk.chassis.settings import KafkaAccess

_COLUMNS = "shard, topic, partition, key, headers, payload"


async def measure(size: Size) -> list[Result]:
    total = size.of(full=200_000, quick=60_000)
    async with servers_alone() as place:
        await things.settle(place)
        url, access = place.database("campaign"), place.access("campaign")
        await in_child(_fill, url, total)
        with Memory() as memory:
            figures, limits = await alternate(
                size.rounds,
                lambda: in_child(_relay, url, access, total, memory=memory, name="relay"),
                lambda: in_child(_bare, url, access),
            )
    return [
        Result(
            workload="relay",
            unit="records/s",
            figures=figures,
            limits=limits,
            floor=0.7,
            memory=memory.peaks,
            also={"records a round": total, "bytes each": things.BYTES},
        )
    ]


async def _fill(url: str, total: int) -> None:
    """Write the rows once and keep them aside, so that every round sends the same."""
    units = things.units(url, "campaign")
    for _ in range(total // 1000):
        async with units.begin() as work:
            work.publish("thing.made", *(things.thing() for _ in range(1000)))
    await units.engine.dispose()
    connection = await asyncpg.connect(url)
    await connection.execute(f"CREATE TABLE kept AS SELECT id, {_COLUMNS} FROM outbox; TRUNCATE outbox")
    await connection.close()


async def _relay(url: str, access: KafkaAccess, total: int) -> float:
    units = things.units(url, "campaign")
    connection = await asyncpg.connect(url)
    relay = Relay(units, access)
    running = asyncio.create_task(relay.run())
    copy = f"INSERT INTO outbox ({_COLUMNS}) SELECT {_COLUMNS} FROM kept ORDER BY id"

    async def has_sent(count: int) -> bool:
        return relay.sent >= count

    try:
        # Connected, in possession of its shards, and with the topic's metadata.
        await connection.execute(f"{copy} LIMIT 1")
        await until(lambda: has_sent(1), every=0.002)
        await connection.execute(copy)
        started = perf_counter()
        await until(lambda: has_sent(total + 1), every=0.002)
        return total / (perf_counter() - started)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await connection.close()
        await units.engine.dispose()


async def _bare(url: str, access: KafkaAccess) -> float:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT topic, payload, key, partition, headers FROM kept ORDER BY id")
    await connection.close()
    records = [(*tuple(row)[:4], envelope.unpack(row["headers"])) for row in rows]
    async with producing(access) as producer:
        await send(producer, records[:1])
        started = perf_counter()
        await send(producer, records)
        return len(records) / (perf_counter() - started)
