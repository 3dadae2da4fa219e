"""The HTTP server, in the loop that everything else of the process runs in."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

_BACKLOG = 1024
_START_SECONDS = 5.0


async def serve(app: Any, listen: str) -> None:
    """Serve the ASGI `app` at `listen` (host:port) until cancelled.

    On cancellation it stops accepting, lets requests that are in flight finish and closes idle
    connections. Raises OSError when the address is taken.
    """
    from granian.constants import HTTPModes, Interfaces
    from granian.server.embed import Server

    host, port = _address(listen)
    _refuse_taken(host, port)
    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        backlog=_BACKLOG,
        log_enabled=False,
    )
    serving = asyncio.create_task(server.serve())
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        if not serving.done():
            server.stop()  # type: ignore[no-untyped-call]
            await serving
        raise
    raise RuntimeError("the HTTP server ended by itself")


@asynccontextmanager
async def served(app: Any, listen: str | None = None) -> AsyncIterator[str]:
    """`app` served while the block runs, at a free port of this machine unless `listen` is given; its URL."""
    if listen is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            listen = f"127.0.0.1:{free.getsockname()[1]}"
    serving = asyncio.create_task(serve(app, listen))
    try:
        await _accepting(serving, listen)
        yield f"http://{listen}"
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


async def _accepting(serving: "asyncio.Task[None]", listen: str) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while not serving.done():
            try:
                _, writer = await asyncio.open_connection(*_address(listen))
            except OSError:
                await asyncio.sleep(0.005)
            else:
                writer.close()
                return
        await serving


def _refuse_taken(host: str, port: int) -> None:
    """Granian listens with SO_REUSEPORT: two processes at one address would share its requests unseen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(error.errno, f"{host}:{port} is taken or not ours to listen at") from error


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)
