"""The process of the supervisor.

`python -m souk.local.daemon FOLDER [--servers-only] [--lifeline]`.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from souk.local import kafka
from souk.local.control import socket_address
from souk.local.errors import StackError
from souk.local.folder import Folder, lock
from souk.local.servers import servers
from souk.local.supervisor import Supervisor


def main(arguments: list[str]) -> NoReturn:
    folder = Folder(Path(arguments[0]))
    try:
        held = lock(folder)
    except StackError as error:
        sys.exit(_give_up(error))
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("souk.local").setLevel(logging.INFO)
    code = _supervise(folder, arguments)
    sys.stderr.flush()
    # Left to the kernel to free, as the last thing: whoever sees the lock free finds no process of ours.
    assert not held.closed
    os._exit(code)


def _supervise(folder: Folder, arguments: list[str]) -> int:
    try:
        specs = servers(folder).specs
        if "--servers-only" not in arguments:
            from souk.local import suite

            specs = (*specs, *suite.specs(folder))
    except StackError as error:
        return _give_up(error)
    return asyncio.run(_serve(Supervisor(folder, specs), lifeline="--lifeline" in arguments))


def _give_up(error: StackError) -> int:
    print(json.dumps({"error": str(error)}), flush=True)
    return 1


async def _serve(supervisor: Supervisor, *, lifeline: bool) -> int:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    if lifeline:
        _watch_lifeline(loop, over.set)
    supervisor.folder.socket.unlink(missing_ok=True)
    with socket_address(supervisor.folder) as address:
        os.umask(0o077)
        server = await asyncio.start_unix_server(_session(supervisor, over.set), address)
    print(json.dumps({"listening": True}), flush=True)
    starting = asyncio.create_task(_start(supervisor, over.set))
    await over.wait()
    starting.cancel()
    await supervisor.stop()
    server.close()
    supervisor.folder.socket.unlink(missing_ok=True)
    return 1 if supervisor.failure else 0


async def _start(supervisor: Supervisor, give_up: Callable[[], None]) -> None:
    await supervisor.start()
    if supervisor.failure:
        print(supervisor.failure, file=sys.stderr, flush=True)
        give_up()
    elif training := kafka.training():
        await supervisor.run_once(training)


def _watch_lifeline(loop: asyncio.AbstractEventLoop, gone: Callable[[], None]) -> None:
    """Standard input ends when the process that started us does, however it dies."""

    def readable() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            gone()

    loop.add_reader(0, readable)


def _session(supervisor: Supervisor, over: Callable[[], None]) -> Callable[..., Any]:
    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(answer: dict[str, Any]) -> None:
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()

        try:
            command = json.loads(await asyncio.wait_for(reader.readline(), 10))
            if command["do"] == "follow":
                await _follow(supervisor, say)
            else:
                await say(await _obey(supervisor, command, over))
        except StackError as error:
            await say({"error": str(error)})
        except (OSError, TimeoutError, ValueError, KeyError):
            # Whoever asked is gone, or isn't `souk`.
            pass
        finally:
            writer.close()

    return session


async def _obey(supervisor: Supervisor, command: dict[str, Any], over: Callable[[], None]) -> dict[str, Any]:
    match command["do"]:
        case "kill":
            number = signal.Signals(command["signal"])
            await supervisor.kill(command["name"], number, hold=bool(command["hold"]))
        case "restart":
            await supervisor.restart(command["name"])
        case "stop":
            over()
    return _facts(supervisor)


async def _follow(supervisor: Supervisor, say: Callable[[dict[str, Any]], Any]) -> None:
    last = None
    while True:
        facts = _facts(supervisor)
        if facts != last:
            await say(facts)
        if supervisor.failure:
            raise StackError(supervisor.failure)
        if facts["ready"] or supervisor.stopping:
            return
        last = facts
        await supervisor.until(lambda seen=facts: _facts(supervisor) != seen or supervisor.stopping)  # type: ignore[misc]


def _facts(supervisor: Supervisor) -> dict[str, Any]:
    return {
        "processes": [child.facts() for child in supervisor.children.values()],
        "ready": supervisor.ready,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
