"""How a process ends: in order, in time, and with an exit code that tells why. Run in real processes."""

import asyncio
import json
import signal
import socket
import sys
import time
from pathlib import Path

import httpx
import pytest

PROCESS = """
import asyncio, sys
import uvloop
from souk.chassis import logs
from souk.chassis.server import serve
from souk.chassis.supervision import supervise

logs.configure("things")
mode, listen = sys.argv[1:]

async def app(scope, receive, send):
    if scope["path"] == "/slow":
        print("slow begun", flush=True)
        await asyncio.sleep(0.7)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})

async def feeding():
    try:
        await asyncio.sleep(60)
    finally:
        print("feeding ended", flush=True)

async def dying():
    await asyncio.sleep(0.2)
    raise RuntimeError("the worker is broken")

async def relay():
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(0.1)
        print("relay flushed", flush=True)
        raise

async def main():
    tasks = {"http": serve(app, listen), "feeding": feeding(), "relay": relay()}
    if mode == "dying":
        tasks["worker"] = dying()
    order = [[name for name in tasks if name != "relay"], ["relay"]]
    return await supervise(tasks, order, lambda: print("stopping", flush=True))

sys.exit(uvloop.run(main()))
"""


@pytest.fixture
async def start(tmp_path: Path):
    started = []

    async def start(mode, listen=None):
        if listen is None:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                listen = f"127.0.0.1:{free.getsockname()[1]}"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROCESS, mode, listen,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process, f"http://{listen}"

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _answering(url):
    async with asyncio.timeout(20), httpx.AsyncClient() as client:
        while True:
            try:
                return await client.get(url)
            except httpx.HTTPError:
                await asyncio.sleep(0.02)


async def _ended(process):
    async with asyncio.timeout(12):
        return await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_drains_the_request_in_flight_then_the_relay(start, number):
    process, url = await start("orderly")
    await _answering(url)
    async with httpx.AsyncClient() as client, httpx.AsyncClient() as idle:
        await idle.get(url)
        slow = asyncio.create_task(client.get(f"{url}/slow"))
        async with asyncio.timeout(5):
            assert await process.stdout.readline() == b"slow begun\n"

        process.send_signal(number)
        since = time.monotonic()
        out, _ = await _ended(process)
        answer = await slow

    assert (answer.status_code, answer.text) == (200, "done")
    assert process.returncode == 0
    assert out.decode().split("\n")[:3] == ["stopping", "feeding ended", "relay flushed"]
    assert time.monotonic() - since < 4
    with pytest.raises(httpx.ConnectError):
        await httpx.AsyncClient().get(url)


async def test_task_that_dies_brings_the_process_down_with_an_error(start):
    process, _ = await start("dying")

    out, errors = await _ended(process)

    lines = [json.loads(line) for line in errors.decode().splitlines()]
    assert process.returncode == 1
    assert "relay flushed" in out.decode()
    (line,) = [line for line in lines if line["level"] == "critical"]
    assert line["message"] == "worker ended, so the process ends"
    assert "the worker is broken" in line["exception"]


async def test_second_process_cannot_share_the_address(start):
    _, url = await start("orderly")
    await _answering(url)
    second, _ = await start("orderly", url.removeprefix("http://"))

    _, errors = await _ended(second)

    assert second.returncode == 1
    assert "is taken" in errors.decode()
    assert (await _answering(url)).status_code == 200


async def test_taken_address_ends_the_process_with_an_error(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process, _ = await start("orderly", f"127.0.0.1:{taken.getsockname()[1]}")

        _, errors = await _ended(process)

    assert process.returncode == 1
    assert "http ended" in errors.decode()
