"""A 302 with the click durable, beside a bare granian ASGI application that answers the same bytes.

The redirect runs as its service does, with tracking's worker, Kafka and PostgreSQL on the same machine; both
sides are asked by the same client over 64 connections, and the limit may be what that client can ask. After
each round all clicks are waited for in tracking's database, so that the next one does not pay for them. The
second half asks at 5,000 a second, in rounds too.
"""

import asyncio
import socket
from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

import clicks
import httpx
import load
from harness import Child, Memory, Result, Size, alternate, in_child, percentile, until
from place import Place, services

from souk.chassis.server import serve
from souk.local.suite import REDIRECT

_RATE = 5_000
_SETTLE_SECONDS = 3.0


async def measure(size: Size) -> list[Result]:
    async with services("tracking") as place:
        asked = clicks.requests(await clicks.open_links(place, campaigns=20, people=10))
        with Memory() as memory:
            memory.watch("redirect", place.pid(REDIRECT))
            memory.watch("tracking", place.pid("tracking"))
            return await _measure(size, place, asked, memory)


async def _measure(size: Size, place: Place, asked: Sequence[bytes], memory: Memory) -> list[Result]:
    port = place.port(REDIRECT)
    seconds = float(size.of(full=5, quick=1))
    location = await _location(port, asked[0])
    await until(lambda: _is_counted(place, 1), every=0.05)
    answered = 1
    behind: list[float] = []

    async def led(rate: float | None, seconds: float) -> load.Load:
        nonlocal answered
        plan = load.Plan(port, asked, seconds, rate=rate, first=answered + 1)
        found: load.Load = await in_child(load.run, plan)
        answered += found.expect(302).answered
        return found

    async def figure() -> float:
        found = await led(None, seconds)
        ended = perf_counter()
        await until(lambda: _is_counted(place, answered), every=0.05)
        behind.append(perf_counter() - ended)
        return found.rate

    bare_port = _free_port()
    async with Child(_bare, bare_port, location):
        await until(lambda: _accepts(bare_port), every=0.02)

        async def limit() -> float:
            found: load.Load = await in_child(load.run, load.Plan(bare_port, asked, seconds))
            return found.expect(302).rate

        figures, limits = await alternate(size.rounds, figure, limit)
    paced: list[load.Load] = []
    uncounted: list[float] = []
    for _ in range(size.long_rounds):
        paced.append(await led(_RATE, float(size.of(full=30, quick=4))))
        await asyncio.sleep(_SETTLE_SECONDS)
        uncounted.append(answered - await _counted(place))
        await until(lambda: _is_counted(place, answered), every=0.05)
    taken = [[each * 1000 for each in one.taken] for one in paced]
    return [
        Result(
            workload="redirect",
            unit="302/s",
            figures=figures,
            limits=limits,
            floor=0.3,
            memory=memory.peaks,
            also={"seconds until all were counted, most": max(behind)},
            note="Kafka, tracking and the client share the cores: docs/decisions/0010",
        ),
        Result(
            workload="redirect, p99 at 5,000/s",
            unit="ms",
            figures=[percentile(each, 0.99) for each in taken],
            at_most=10,
            memory=memory.peaks,
            also={
                "p50 ms": median(percentile(each, 0.5) for each in taken),
                "most ms": max(map(max, taken)),
                "answered a second": median(one.rate for one in paced),
            },
            note="all together take 1.5 of two cores, the client most of the rest: docs/decisions/0010",
        ),
        Result(
            workload="clicks uncounted after 3 s",
            unit=f"of {paced[0].answered:,}",
            figures=uncounted,
            at_most=0,
            memory=memory.peaks,
        ),
    ]


async def _location(port: int, asked: bytes) -> bytes:
    """Where the redirect leads, whose length the bare application's answers have too."""
    path = asked.split(b" ", 2)[1].decode()
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}{path}")
    return answer.headers["location"].encode()


async def _counted(place: Place) -> int:
    async with place.connected("tracking") as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM click WHERE verdict IS NOT NULL")
        return count


async def _is_counted(place: Place, all_of_them: int) -> bool:
    return await _counted(place) >= all_of_them


async def _bare(port: int, location: bytes) -> None:
    headers = [(b"location", location), (b"cache-control", b"no-store"), (b"content-length", b"0")]

    async def answer(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 302, "headers": headers})
            await send({"type": "http.response.body", "body": b""})

    await serve(answer, f"127.0.0.1:{port}")


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
