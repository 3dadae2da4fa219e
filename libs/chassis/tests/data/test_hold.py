"""A relay that stood still sends nothing of what it had read: its locks may be another's by then."""

import asyncio
import dataclasses
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from time import monotonic
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url

from souk.chassis import hold
from souk.chassis import relay as relay_module
from souk.chassis.database import bare_dsn, open_engine
from souk.chassis.relay import SEND_SECONDS, Relay
from souk.chassis.work import Units

from .conftest import House, eventually, running, thing


class Line:
    """The way to PostgreSQL, in a thread of its own: it can be cut while the relay's loop stands still."""

    def __init__(self, house: House) -> None:
        to = make_url(bare_dsn(house.campaign.engine))
        self._to = to.host, to.port
        self._loop = asyncio.new_event_loop()
        self._pairs: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        Thread(target=self._loop.run_forever, daemon=True).start()
        self._server = self._do(asyncio.start_server(self._join, "127.0.0.1", 0))
        here, port = self._server.sockets[0].getsockname()
        self.url = to.set(host=here, port=port).render_as_string(hide_password=False)

    def cut(self, *, told: bool) -> None:
        """PostgreSQL hears that all who are connected are gone. told: they hear of it, too."""
        self._do(self._cut(told))

    def close(self) -> None:
        self.cut(told=True)
        self._server.close()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _cut(self, told: bool) -> None:
        lost = [end for pair in self._pairs for end in (pair if told else pair[1:])]
        for end in lost:
            end.transport.abort()
        await asyncio.gather(*(end.wait_closed() for end in lost), return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, far = await asyncio.open_connection(*self._to)
        self._pairs.append((writer, far))
        await asyncio.gather(_carry(reader, far), _carry(answers, writer), return_exceptions=True)


async def _carry(what: asyncio.StreamReader, where: asyncio.StreamWriter) -> None:
    while data := await what.read(65536):
        where.write(data)


@pytest.fixture
def line(house: House) -> Iterator[Line]:
    opened = Line(house)
    yield opened
    opened.close()


async def _empty(house: House) -> bool:
    return (await house.query("SELECT count(*) FROM outbox", house.campaign)) == [(0,)]


async def _take_over(house: House, newer: Any) -> None:
    """As another worker does, in a loop of its own: it sends what waits, and then the next state."""
    engine = open_engine(bare_dsn(house.campaign.engine), "test", pool=2)
    units = Units(engine, house.campaign.clock, "campaign", (house.things,))
    there = dataclasses.replace(house, campaign=units)
    async with running(there.relay().run()):
        await eventually(lambda: _empty(there))
        await there.publish(newer)
        await eventually(lambda: _empty(there))
    await engine.dispose()


async def test_that_a_connection_has_ended_is_known_before_its_loop_hears_of_it(
    house: House, line: Line
) -> None:
    connection = await asyncpg.connect(line.url)
    held = hold.Hold(connection, SEND_SECONDS)
    never_asked = held.is_there()
    held.was_there(monotonic())
    before = held.is_there()

    line.cut(told=True)

    assert (never_asked, before, held.is_there(), connection.is_closed()) == (False, True, False, False)


@pytest.mark.parametrize("told", [True, False], ids=["its connection has ended", "it was cut off"])
async def test_a_relay_that_stood_still_sends_nothing_behind_the_one_that_took_over(
    house: House,
    line: Line,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    told: bool,
) -> None:
    send, silence, silenced = relay_module._send, relay_module.silence, asyncio.Event()
    older = thing(name="older")
    newer = older.model_copy(update={"version": 2, "name": "newer"})

    async def send_and_stand_still(*arguments: Any) -> Any:
        batch, now = await send(*arguments), monotonic()
        # Cut off, it stood for as long as what it read may be sent; ended, for no time at all.
        now += 0 if told else SEND_SECONDS
        monkeypatch.setattr(hold, "monotonic", lambda: now)
        monkeypatch.setattr(relay_module, "_send", send)
        line.cut(told=told)
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(asyncio.run, _take_over(house, newer)).result()
        monkeypatch.setattr(relay_module, "silence", silence_and_tell)
        return batch

    async def silence_and_tell(producer: Any) -> None:
        await silence(producer)
        silenced.set()

    async def refused() -> bool:
        return "nothing may be sent now" in caplog.text

    caplog.set_level(logging.WARNING)
    engine = open_engine(line.url, "test", pool=1)
    await house.publish(thing(name="first"))
    async with running(Relay(Units(engine, house.campaign.clock, "campaign"), house.kafka["campaign"]).run()):
        await eventually(lambda: _empty(house))
        monkeypatch.setattr(relay_module, "_send", send_and_stand_still)
        await house.publish(older)
        if not told:
            await eventually(refused)
            line.cut(told=True)
        async with asyncio.timeout(15):
            await silenced.wait()
    await engine.dispose()

    log = [house.things.parse(each.value).name for each in await house.on_log(house.things)]
    assert log == ["first", "older", "newer"]
