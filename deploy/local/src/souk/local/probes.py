"""Readiness by handshake: each server is asked something that it answers only when it serves."""

import asyncio
import struct

_PATIENCE = 1.0
_ANSWER_LIMIT = 4096


async def _ask(host: str, port: int, question: bytes) -> bytes:
    async with asyncio.timeout(_PATIENCE):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(question)
            await writer.drain()
            return await reader.read(_ANSWER_LIMIT)
        finally:
            writer.close()


async def _answer(host: str, port: int, question: bytes) -> bytes:
    """The first bytes of the answer; empty when there is none yet."""
    try:
        return await _ask(host, port, question)
    except (OSError, TimeoutError):
        return b""


async def kafka_serves(port: int) -> bool:
    """ApiVersions is the one request that a broker answers before authentication."""
    body = struct.pack(">hhih", 18, 0, 1, -1)
    return bool(await _answer("127.0.0.1", port, struct.pack(">i", len(body)) + body))


async def postgres_serves(port: int) -> bool:
    """A start-up message is answered by a request to authenticate ('R'), in recovery by an error ('E')."""
    body = struct.pack(">i", 196608) + b"user\0admin\0database\0postgres\0\0"
    return (await _answer("127.0.0.1", port, struct.pack(">i", len(body) + 4) + body))[:1] == b"R"


async def valkey_serves(port: int) -> bool:
    """Without a password the answer is NOAUTH once the data is loaded, LOADING before."""
    return (await _answer("127.0.0.1", port, b"PING\r\n")).startswith((b"-NOAUTH", b"+PONG"))


async def http_serves(port: int, path: str) -> bool:
    """A 200 from `path`."""
    question = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
    return b" 200 " in (await _answer("127.0.0.1", port, question))[:16]
