"""A producer that was silenced sends nothing more, whatever it was at."""

import asyncio
from typing import Any

import aiokafka.client
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection

from souk.chassis.producers import ask_before_sending, silence

from .conftest import House, eventually

_MUCH = 8 * 1024 * 1024
"""More than the kernel takes of who does not read."""


async def test_what_the_kernel_still_holds_is_never_delivered() -> None:
    heard: asyncio.Future[asyncio.StreamReader] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(
        lambda reader, _: heard.set_result(reader), "127.0.0.1", 0, limit=1024
    )
    port = server.sockets[0].getsockname()[1]
    connection = AIOKafkaConnection("127.0.0.1", port)
    connection._reader, connection._writer = await asyncio.open_connection("127.0.0.1", port)
    connection._read_task = asyncio.create_task(asyncio.sleep(0))
    connection._writer.write(bytes(_MUCH))
    producer = AIOKafkaProducer(bootstrap_servers=f"127.0.0.1:{port}")
    producer.client._conns[1, 0] = connection

    await silence(producer)

    reader = await heard
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(_MUCH)
    server.close()


async def test_a_request_that_was_connecting_is_never_sent(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_connect, connecting = asyncio.Event(), asyncio.Event()
    connect = aiokafka.client.create_conn
    made: list[asyncio.Task[Any]] = []

    async def held(*place: Any, **more: Any) -> Any:
        made.append(asyncio.current_task())  # type: ignore[arg-type]
        connecting.set()
        await may_connect.wait()
        return await connect(*place, **more)

    producer = AIOKafkaProducer(**house.kafka["campaign"].client(), enable_idempotence=True)
    await producer.start()
    await producer.send_and_wait(house.things.name, b"1", b"k", partition=3)
    for connection in producer.client._conns.values():
        connection.close()
    monkeypatch.setattr(aiokafka.client, "create_conn", held)
    await producer.send(house.things.name, b"2", b"k", partition=3)
    await connecting.wait()

    await silence(producer)
    may_connect.set()
    await asyncio.wait(made, timeout=15)

    assert [each.value for each in await house.on_log(house.things, "campaign")] == [b"1"]
    assert not any(connection.connected() for connection in producer.client._conns.values())


async def test_records_are_written_only_while_they_may_be(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked when the request is about to be written, not before it connects."""
    connect, asked, may = aiokafka.client.create_conn, 0, True

    async def connect_for_long(*place: Any, **more: Any) -> Any:
        nonlocal may
        made = await connect(*place, **more)
        may = False
        return made

    def may_send() -> bool:
        nonlocal asked
        asked += 1
        return may

    async def asked_again() -> bool:
        return asked > 1

    async with AIOKafkaProducer(**house.kafka["campaign"].client(), enable_idempotence=True) as producer:
        ask_before_sending(producer, may_send)
        await producer.send_and_wait(house.things.name, b"1", b"k", partition=3)
        for connection in list(producer.client._conns.values()):
            connection.close()
        monkeypatch.setattr(aiokafka.client, "create_conn", connect_for_long)
        waiting = await producer.send(house.things.name, b"2", b"k", partition=3)
        await eventually(asked_again)
        refused = [each.value for each in await house.on_log(house.things, "campaign")]
        may = True
        await waiting

    assert refused == [b"1"]
    assert [each.value for each in await house.on_log(house.things, "campaign")] == [b"1", b"2"]
