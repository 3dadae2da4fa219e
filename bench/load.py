"""HTTP load from a process of its own: as many requests as are answered, or so many a second."""

import asyncio
import re
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from time import perf_counter, time
from typing import Any

_NUMBER = b"{n}"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TICK_SECONDS = 0.001
_LAST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of 127.0.0.1.

    requests: whole ones, sent in turn; `{n}` in them becomes 12 digits that no other request has.
    first: where those numbers begin. rate: requests a second, None for one after the other on each
    connection.
    """

    port: int
    requests: Sequence[bytes]
    seconds: float
    connections: int = 64
    rate: float | None = None
    first: int = 0


@dataclass(slots=True)
class Load:
    """What came of a plan.

    seconds: from the first request to the last answer. sent, taken: of each answered request, seconds since
    the epoch at which it was due, and how long its answer took from then; which: its number.
    """

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    sent: "array[float]" = field(default_factory=lambda: array("d"))
    taken: "array[float]" = field(default_factory=lambda: array("d"))
    which: "array[int]" = field(default_factory=lambda: array("q"))

    @property
    def answered(self) -> int:
        return len(self.taken)

    @property
    def rate(self) -> float:
        return self.answered / self.seconds

    def expect(self, status: int) -> "Load":
        """This, when all were answered so. Raises RuntimeError."""
        if set(self.statuses) != {status}:
            raise RuntimeError(f"answers other than {status}: {dict(self.statuses)}")
        return self


async def run(plan: Plan) -> Load:
    """Ask. Raises RuntimeError when a connection is closed or an answer stays away."""
    load = Load()
    crowd = _Crowd(plan, load)
    await crowd.connect()
    began = perf_counter()
    await crowd.ask()
    load.seconds = perf_counter() - began
    crowd.close()
    return load


def request(method: str, path: str, headers: dict[str, str], body: str = "") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1"]
    if body:
        # As long as it will be.
        length = len(body.encode()) + body.count("{n}") * (12 - len("{n}"))
        headers = headers | {"content-type": "application/json", "content-length": str(length)}
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class _Crowd:
    """All connections; who is idle, and what is due and waits for one who is."""

    def __init__(self, plan: Plan, load: Load) -> None:
        self.load = load
        self._plan = plan
        self._parts = [each.split(_NUMBER) for each in plan.requests]
        self._next = 0
        self._until = inf
        self._idle: list[_Connection] = []
        self._waiting: deque[float] = deque()
        self._in_flight = 0
        self._all: list[_Connection] = []
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._epoch = time() - perf_counter()

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self._plan.connections):
            _, made = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._plan.port)
            self._all.append(made)
        self._idle = list(self._all)

    async def ask(self) -> None:
        now = perf_counter()
        if self._plan.rate is None:
            self._until = now + self._plan.seconds
            while self._idle:
                self._ask(self._idle.pop(), now)
        else:
            await self._pace(self._plan.rate)
        async with asyncio.timeout(self._plan.seconds + _LAST_SECONDS):
            await self._over

    async def _pace(self, rate: float) -> None:
        began = perf_counter()
        for number in range(int(rate * self._plan.seconds)):
            due = began + number / rate
            if (early := due - perf_counter()) > 0:
                await asyncio.sleep(max(early, _TICK_SECONDS))
            if self._idle:
                self._ask(self._idle.pop(), due)
            else:
                self._waiting.append(due)
        self._until = 0.0
        if not self._in_flight and not self._over.done():
            self._over.set_result(None)

    def _ask(self, connection: "_Connection", due: float) -> None:
        self._in_flight += 1
        number, self._next = self._plan.first + self._next, self._next + 1
        parts = self._parts[number % len(self._parts)]
        connection.ask((b"%012d" % number).join(parts), number, due)

    def answered(self, connection: "_Connection", status: int, number: int, due: float) -> None:
        self._in_flight -= 1
        now = perf_counter()
        self.load.statuses[status] += 1
        self.load.sent.append(self._epoch + due)
        self.load.taken.append(now - due)
        self.load.which.append(number)
        if self._waiting:
            self._ask(connection, self._waiting.popleft())
        elif self._plan.rate is None and now < self._until:
            self._ask(connection, now)
        else:
            self._idle.append(connection)
            if not self._in_flight and now >= self._until and not self._over.done():
                self._over.set_result(None)

    def lost(self) -> None:
        if not self._over.done():
            self._over.set_exception(RuntimeError("a connection was closed by the other side"))

    def close(self) -> None:
        for connection in self._all:
            connection.close()


class _Connection(asyncio.Protocol):
    def __init__(self, crowd: _Crowd) -> None:
        self._crowd = crowd
        self._buffer = b""
        self._number = 0
        self._due = 0.0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, data: bytes, number: int, due: float) -> None:
        self._number, self._due = number, due
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        found = _LENGTH.search(self._buffer, 0, end)
        if found is None:
            raise RuntimeError("an answer without a length")
        if len(self._buffer) >= end + 4 + int(found[1]):
            status, self._buffer = int(self._buffer[9:12]), b""
            self._crowd.answered(self, status, self._number, self._due)

    def connection_lost(self, _: Exception | None) -> None:
        self._crowd.lost()

    def close(self) -> None:
        self._transport.close()
