"""The stand-ins as a process of their own, serving a small file at an instant of a test's choice."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from souk.chassis.clock import set_manual, to_micros
from souk.local.folder import free_port
from souk.local.standins.catalogue import COLUMNS

KEY = "key-of-the-test"
USER, PASSWORD = "souk", "password-of-the-test"
MANY = "Daily Uploads"
"""A channel with 60 videos of 2017-09-14; the others have one of 2017-09-20."""


@dataclass(frozen=True, slots=True)
class Standins:
    """A running process. url: of its HTTP side; smtp: as SOUK_SMTP names it."""

    url: str
    smtp: str
    clock: Path
    process: "subprocess.Popen[bytes]"

    def at(self, instant: datetime) -> None:
        """Put the clock anywhere: tests share the process, so for them it goes backward too."""
        with self.clock.open("r+b") as file:
            file.write(to_micros(instant).to_bytes(8, "little", signed=True))


def line(video: str, channel: str, day: str, views: object, **fields: object) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(COLUMNS, "") | {
        "title": f"Title of {video}",
        "tags": "Stand Up|comedy",
    }
    row |= {"video_id": video, "channel_title": channel, "date": day, "views": views, "category_id": 23}
    return row | {"likes": 10, "comment_total": 2} | fields


def small_file(path: Path) -> Path:
    rows = [line(f"many-{number:02}", MANY, "14.09", 1_000 + number) for number in range(60)]
    rows += [
        line("growing", "Grow", "20.09", 100),
        line("growing", "Grow", "21.09", 250, title="A later title"),
        line("hidden", "Shy", "20.09", 50, likes="not", comment_total=""),
        line("untagged", "Plain", "20.09", 5, tags=""),
    ]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


@contextmanager
def started(root: Path) -> Iterator[Standins]:
    """Ready inside the block, working in `root`; its clock stands at 2017-09-19 12:00 UTC."""
    clock = root / "clock"
    if not clock.exists():
        set_manual(clock, datetime(2017, 9, 19, 12, tzinfo=UTC))
    http = free_port(set())
    smtp = free_port({http})
    process = subprocess.Popen(
        [sys.executable, "-m", "souk.local.standins"],
        env={
            **os.environ,
            "SOUK_CLOCK": f"manual:{clock}",
            "SOUK_STANDINS_HTTP": str(http),
            "SOUK_STANDINS_SMTP": str(smtp),
            "SOUK_STANDINS_FOLDER": str(root / "standins"),
            "SOUK_STANDINS_DATA": str(small_file(root / "videos.csv")),
            "SOUK_STANDINS_YOUTUBE_KEY": KEY,
            "SOUK_STANDINS_SMTP_USER": USER,
            "SOUK_STANDINS_SMTP_PASSWORD": PASSWORD,
        },
        stdout=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{http}"
        _wait_ready(url, process)
        yield Standins(url, f"smtp://{USER}:{PASSWORD}@127.0.0.1:{smtp}", clock, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


@pytest.fixture
def start_standins() -> Callable[[Path], AbstractContextManager[Standins]]:
    return started


@pytest.fixture(scope="session")
def standins_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standins]:
    with started(tmp_path_factory.mktemp("standins")) as running:
        yield running


@pytest.fixture
def standins(standins_process: Standins) -> Iterator[Standins]:
    """Shared by all tests; without faults at the end of each."""
    yield standins_process
    httpx.delete(f"{standins_process.url}/faults").raise_for_status()


def _wait_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/health/ready", timeout=5).status_code == 200:
                return
        time.sleep(0.02)
    raise AssertionError(f"the stand-ins did not start (exit code {process.poll()})")
