"""A TCP proxy between one service and one server, which spoils connections as networks do."""

import asyncio
import re
import socket
import struct
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, Self

_HOST = "127.0.0.1"
_BACKLOG = 128
_CHUNK = 64 * 1024
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
_POSTGRES_3 = 3
_KAFKA_PRODUCE = 0
_CHANGED = re.compile(rb"C\0\0\0.(INSERT 0|UPDATE|DELETE|MERGE|COPY) [1-9]", re.DOTALL)
"""PostgreSQL's word that a statement changed rows."""


class Conversation(Protocol):
    """Follows one connection; told of every byte, in order."""

    def asked(self, data: bytes) -> Iterator[tuple[int, Hashable]]:
        """Where in `data`, which the client sent, each message that commits ends, and by what its answer
        is known."""

    def answered(self, data: bytes) -> Iterator[Hashable]:
        """By what the answers in `data`, which the server sent, are known."""


class Messages:
    """Cuts a stream into messages without keeping them: each is known by where it ends and how it begins."""

    _KEPT = 16

    def __init__(self, header: int, size: Callable[[bytes], int]) -> None:
        """header: how many bytes tell a message's size; size: the size, header included, that they tell."""
        self.header = header
        self._size = size
        self._beginning = bytearray()
        self._missing: int | None = None

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """For each message that ends in `data`: where, and its first 16 bytes."""
        at = 0
        while at < len(data):
            if self._missing is None:
                at += self._keep(data[at:], self.header)
                if len(self._beginning) < self.header:
                    return
                self._missing = self._size(bytes(self._beginning)) - self.header
            step = min(self._missing, len(data) - at)
            self._keep(data[at : at + step], self._KEPT)
            self._missing -= step
            at += step
            if not self._missing:
                beginning = bytes(self._beginning)
                self._missing = None
                self._beginning.clear()
                yield at, beginning

    def _keep(self, data: bytes, most: int) -> int:
        room = max(0, most - len(self._beginning))
        self._beginning += data[:room]
        return min(room, len(data))


class PostgresConversation:
    """A commit is a simple query `COMMIT`, as drivers send it, of a transaction that changed a row."""

    def __init__(self) -> None:
        # Until the start-up message, which may follow a request for encryption, messages have no type.
        self._messages = Messages(4, lambda header: int.from_bytes(header, "big"))
        self._started = False
        self._changed = False

    def asked(self, data: bytes) -> Iterator[tuple[int, Hashable]]:
        at = 0
        while not self._started:
            found = next(self._messages.feed(data[at:]), None)
            if found is None:
                return
            at += found[0]
            if int.from_bytes(found[1][4:6], "big") == _POSTGRES_3:
                self._started = True
                self._messages = Messages(5, lambda header: 1 + int.from_bytes(header[1:], "big"))
        for end, beginning in self._messages.feed(data[at:]):
            if beginning.startswith(b"Q"):
                command = beginning[5:].rstrip(b"\0; ").upper()
                if command == b"COMMIT" and self._changed:
                    yield at + end, "commit"
                if command.startswith((b"BEGIN", b"COMMIT", b"ROLLBACK")):
                    self._changed = False

    def answered(self, data: bytes) -> Iterator[Hashable]:
        # A tag that two reads share is overlooked: then that commit is not chosen.
        self._changed = self._changed or _CHANGED.search(data) is not None
        # Nothing else is under way when a driver sends COMMIT, so what comes next is its answer.
        yield "commit"


class KafkaConversation:
    """A commit is a Produce request; its answer has the same correlation id."""

    def __init__(self) -> None:
        self._requests, self._answers = (
            Messages(4, lambda header: 4 + int.from_bytes(header, "big")) for _ in range(2)
        )

    def asked(self, data: bytes) -> Iterator[tuple[int, Hashable]]:
        for end, beginning in self._requests.feed(data):
            if int.from_bytes(beginning[4:6], "big") == _KAFKA_PRODUCE:
                yield end, beginning[8:12]

    def answered(self, data: bytes) -> Iterator[Hashable]:
        for _, beginning in self._answers.feed(data):
            yield beginning[4:8]


@dataclass(frozen=True, slots=True)
class _Commit:
    """What is to be sent, up to the end of a message that commits, and by what its answer is known."""

    data: bytes
    answer: Hashable


@dataclass(slots=True)
class Counts:
    """What a link has done. aborted: connections that it ended, those with a lost answer included."""

    connections: int = 0
    refusals: int = 0
    aborted: int = 0
    answers_lost: int = 0


class Link:
    """Between one service and one server; sound until told otherwise.

    routes: the server's port by the port at which the service finds it (Kafka: one for each broker).
    """

    def __init__(self, routes: Mapping[int, int], conversation: Callable[[], Conversation]) -> None:
        self.counts = Counts()
        self._routes = routes
        self._conversation = conversation
        self._listening: list[socket.socket] = []
        self._carrying: set[asyncio.Task[None]] = set()
        self._delay = 0.0
        self._flowing = asyncio.Event()
        self._answers_to_lose = 0

    def restore(self) -> None:
        """Be sound again, whatever was asked for before. What `half_open` kept back goes on its way."""
        self._delay = 0.0
        self._answers_to_lose = 0
        self._flowing.set()
        if not self._listening:
            self._listening = [self._listen(port, server) for port, server in self._routes.items()]

    def refuse(self) -> int:
        """Like a server that is down: present connections are aborted and new ones refused; how many were
        aborted."""
        self.counts.refusals += 1
        self._deaf()
        return self.cut()

    def cut(self) -> int:
        """Abort all present connections, on both sides; how many there were."""
        present = [task for task in self._carrying if not task.done()]
        for task in present:
            task.cancel()
        return len(present)

    def delay(self, seconds: float) -> None:
        """Whatever passes, at most 64 KiB at a time, passes `seconds` later, in both directions."""
        self._delay = seconds

    def half_open(self) -> None:
        """Connections stay and new ones are taken, but nothing passes, neither data nor an end."""
        self._flowing.clear()

    def lose_answer(self, times: int = 1) -> None:
        """The next `times` messages that commit reach the server, which answers; instead of the answer the
        client sees its connection aborted."""
        self._answers_to_lose += times

    async def __aenter__(self) -> Self:
        self.restore()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._deaf()
        self.cut()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def _deaf(self) -> None:
        for each in self._listening:
            asyncio.get_running_loop().remove_reader(each)
            each.close()
        self._listening = []

    def _listen(self, port: int, server: int) -> socket.socket:
        listening = socket.create_server((_HOST, port), backlog=_BACKLOG)
        listening.setblocking(False)
        asyncio.get_running_loop().add_reader(listening, self._accept, listening, server)
        return listening

    def _accept(self, listening: socket.socket, server: int) -> None:
        # One that gave up in the queue is no longer there.
        with suppress(BlockingIOError, ConnectionAbortedError):
            client, _ = listening.accept()
            client.setblocking(False)
            self.counts.connections += 1
            task = asyncio.create_task(self._carry(client, server))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)

    async def _carry(self, accepted: socket.socket, server: int) -> None:
        writers: list[asyncio.StreamWriter] = []
        try:
            await self._flowing.wait()
            from_client, to_client = await asyncio.open_connection(sock=accepted)
            writers.append(to_client)
            from_server, to_server = await asyncio.open_connection(_HOST, server)
            writers.append(to_server)
            await self._converse(from_client, to_client, from_server, to_server)
        except (OSError, asyncio.CancelledError):
            # A reset on either side, or one of our own, becomes one on both.
            self.counts.aborted += 1
            for writer in writers:
                _reset(writer)
            if not writers:
                accepted.close()
        else:
            for writer in writers:
                writer.close()

    async def _converse(
        self,
        from_client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        from_server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        """Carry both ways until one side hangs up. Raises OSError when the connection is to be aborted."""
        conversation = self._conversation()
        asking = asyncio.create_task(self._ask(from_client, to_server, conversation))
        answering = asyncio.create_task(self._answer(from_server, to_client, conversation))
        try:
            await asyncio.wait({asking, answering}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
            elif commit := asking.result():
                answering.cancel()
                await asyncio.wait({answering})
                await self._commit_without_answer(commit, from_server, to_server, conversation)
        finally:
            asking.cancel()
            answering.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, conversation: Conversation
    ) -> _Commit | None:
        """Carry until the client hangs up, or up to a commit whose answer is to be lost: then that."""
        while data := await reader.read(_CHUNK):
            for end, answer in conversation.asked(data):
                if self._answers_to_lose:
                    self._answers_to_lose -= 1
                    return _Commit(data[:end], answer)
            await self._pass(data, writer)
        return None

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, conversation: Conversation
    ) -> None:
        while data := await reader.read(_CHUNK):
            for _ in conversation.answered(data):
                pass
            await self._pass(data, writer)

    async def _commit_without_answer(
        self,
        commit: _Commit,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        conversation: Conversation,
    ) -> None:
        await self._pass(commit.data, writer)
        # Only once the server has answered is it sure that a reset won't overtake the commit.
        while data := await reader.read(_CHUNK):
            if commit.answer in conversation.answered(data):
                self.counts.answers_lost += 1
                break
        raise ConnectionResetError

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self._delay:
            await asyncio.sleep(self._delay)
        await self._flowing.wait()
        writer.write(data)
        await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    # It may be closed already.
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
    writer.transport.abort()
