"""What a client of PostgreSQL or Kafka meets behind a link that spoils its connections."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from proxy import KafkaConversation, Link, PostgresConversation

from souk.local.folder import free_port
from souk.local.stack import Stack
from souk.local.testing import MakeDatabase

PATIENCE = 10.0


class Behind:
    """A database that is reached through a link, and directly."""

    def __init__(self, link: Link, url: str, direct: str) -> None:
        self.link = link
        self.url = url
        self.direct = direct

    async def connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.url, timeout=PATIENCE, command_timeout=PATIENCE)

    async def kept(self) -> list[int]:
        """What the table has, whatever the link does."""
        connection = await asyncpg.connect(self.direct, timeout=PATIENCE)
        try:
            return [row["id"] for row in await connection.fetch("SELECT id FROM kept ORDER BY id")]
        finally:
            await connection.close()


@pytest.fixture
async def behind(stack: Stack, database: MakeDatabase) -> AsyncIterator[Behind]:
    direct = database("billing").url
    connection = await asyncpg.connect(direct, timeout=PATIENCE)
    await connection.execute("CREATE TABLE kept (id int)")
    await connection.close()
    port = free_port(set())
    url = direct.replace(f":{stack.postgres.port}/", f":{port}/")
    async with Link({port: stack.postgres.port}, PostgresConversation) as link:
        yield Behind(link, url, direct)


@asynccontextmanager
async def inserted(connection: asyncpg.Connection, number: int) -> AsyncIterator[None]:
    """A transaction that inserts `number`; committed at the end of the block."""
    async with connection.transaction():
        await connection.execute("INSERT INTO kept VALUES ($1)", number)
        yield


async def test_a_sound_link_carries_all_both_ways(behind: Behind) -> None:
    connection = await behind.connect()
    large = "x" * 5_000_000

    async with inserted(connection, 1):
        pass

    assert await connection.fetchval("SELECT $1::text", large) == large
    assert await behind.kept() == [1]
    await connection.close()
    assert behind.link.counts.aborted == 0


async def test_a_commit_whose_answer_is_lost_fails_at_the_client_and_is_there(behind: Behind) -> None:
    connection = await behind.connect()
    behind.link.lose_answer()

    with pytest.raises((ConnectionError, asyncpg.ConnectionDoesNotExistError)):
        async with inserted(connection, 1):
            pass

    assert await behind.kept() == [1]
    assert behind.link.counts.answers_lost == 1
    again = await behind.connect()
    async with inserted(again, 2):
        pass
    await again.close()
    assert await behind.kept() == [1, 2]


async def test_only_a_commit_of_changes_loses_its_answer(behind: Behind) -> None:
    connection = await behind.connect()
    behind.link.lose_answer()

    async with connection.transaction():
        await connection.fetchval("SELECT count(*) FROM kept")
    async with connection.transaction():
        await connection.execute("DELETE FROM kept")

    assert behind.link.counts.answers_lost == 0
    with pytest.raises((ConnectionError, asyncpg.ConnectionDoesNotExistError)):
        async with inserted(connection, 1):
            pass
    assert behind.link.counts.answers_lost == 1


async def test_cut_aborts_what_is_open_and_takes_new_connections(behind: Behind) -> None:
    connection = await behind.connect()

    with pytest.raises((ConnectionError, asyncpg.ConnectionDoesNotExistError)):
        async with inserted(connection, 1):
            assert behind.link.cut() == 1

    assert await behind.kept() == []
    again = await behind.connect()
    assert await again.fetchval("SELECT 7") == 7
    await again.close()


async def test_refuse_is_a_server_that_is_down_until_restore(behind: Behind) -> None:
    connection = await behind.connect()

    behind.link.refuse()

    with pytest.raises((ConnectionError, asyncpg.ConnectionDoesNotExistError)):
        await connection.fetchval("SELECT 7")
    with pytest.raises(ConnectionRefusedError):
        await behind.connect()
    behind.link.restore()
    again = await behind.connect()
    assert await again.fetchval("SELECT 7") == 7
    await again.close()


async def test_delay_holds_up_question_and_answer(behind: Behind) -> None:
    connection = await behind.connect()
    behind.link.delay(0.2)
    began = time.monotonic()

    assert await connection.fetchval("SELECT 7") == 7

    assert time.monotonic() - began >= 0.4
    behind.link.restore()
    await connection.close()


async def test_half_open_keeps_connections_and_says_nothing(behind: Behind) -> None:
    connection = await behind.connect()
    behind.link.half_open()

    waiting = asyncio.create_task(connection.fetchval("SELECT 7"))
    with pytest.raises(TimeoutError):
        await asyncpg.connect(behind.url, timeout=0.3)
    assert not waiting.done()

    behind.link.restore()
    assert await waiting == 7
    await connection.close()


async def test_what_a_half_open_link_kept_back_is_lost_when_it_is_cut(behind: Behind) -> None:
    connection = await behind.connect()
    behind.link.half_open()
    waiting = asyncio.create_task(connection.execute("INSERT INTO kept VALUES (7)"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.3)

    behind.link.cut()
    behind.link.restore()

    with pytest.raises((asyncpg.PostgresConnectionError, OSError)):
        await waiting
    assert await behind.kept() == []


async def test_a_half_open_link_holds_a_bounded_amount(behind: Behind) -> None:
    behind.link.half_open()
    sent = 0
    host, port = "127.0.0.1", int(behind.url.rpartition(":")[2].partition("/")[0])
    with socket.create_connection((host, port)) as client:
        client.setblocking(False)
        while sent < 256 << 20:
            try:
                sent += client.send(bytes(1 << 16))
            except BlockingIOError:
                break
            await asyncio.sleep(0)

    assert sent < 32 << 20


def test_of_kafka_a_produce_request_commits_and_its_answer_bears_its_id() -> None:
    conversation = KafkaConversation()
    handshake, produce = frame(17, 1, 5), frame(0, 9, 6, bytes(70_000))
    stream = handshake + produce + frame(3, 12, 7)

    found = [
        (at + end, answer)
        for at in range(0, len(stream), 1000)
        for end, answer in conversation.asked(stream[at : at + 1000])
    ]

    assert found == [(len(handshake) + len(produce), (6).to_bytes(4, "big"))]
    answers = b"".join(b"\0\0\0\x06" + number.to_bytes(4, "big") + b"ok" for number in (5, 6, 7))
    assert list(conversation.answered(answers[:13])) == [(5).to_bytes(4, "big")]
    assert list(conversation.answered(answers[13:])) == [n.to_bytes(4, "big") for n in (6, 7)]


def frame(key: int, version: int, correlation: int, body: bytes = b"") -> bytes:
    request = key.to_bytes(2, "big") + version.to_bytes(2, "big") + correlation.to_bytes(4, "big") + body
    return len(request).to_bytes(4, "big") + request
