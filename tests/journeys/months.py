"""Playing a month in a process of its own, as a user does, and disturbing it on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from souk.chassis.clock import ManualClock
from souk.local import control
from souk.local.folder import Folder, free_port

ROOT = Path(__file__).parents[2]
SOUK = Path(sys.executable).parent / "souk"
LIMIT_SECONDS = 280.0
SEED = "7"
README_MONTH = 'make demo ARGS="--seed 7 --hashtags comedy,funny,humor --json"'


def outside_make() -> dict[str, str]:
    """This environment without what a make that runs the tests hands down to other makes."""
    own = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "ARGS"}
    return {name: value for name, value in os.environ.items() if name not in own}


def play(folder: Folder, *options: str, disturb: Callable[[Folder], None] | None = None) -> dict[str, Any]:
    """`souk demo --json` in `folder`; `disturb` runs beside it once its clock is there."""
    return run((str(SOUK), "demo", "--json", *options), folder, disturb)


def run(
    command: Sequence[str], folder: Folder, disturb: Callable[[Folder], None] | None = None
) -> dict[str, Any]:
    """The object that `command` prints, which plays a month with its data in `folder`."""
    errors = folder.root.with_suffix(".err")
    with errors.open("w") as said:
        demo = subprocess.Popen(
            command,
            cwd=ROOT,
            env=outside_make() | {"SOUK_DATA": str(folder.root), "SOUK_GATEWAY_PORT": str(free_port(set()))},
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
        )
        try:
            if disturb:
                disturb(folder)
            out, _ = demo.communicate(timeout=LIMIT_SECONDS)
        finally:
            if demo.poll() is None:
                os.killpg(demo.pid, signal.SIGINT)
                demo.communicate(timeout=60)
    assert demo.returncode == 0, errors.read_text()[-4_000:]
    found: dict[str, Any] = json.loads(out)
    return found


def kill_at(instant: datetime, process: str) -> Callable[[Folder], None]:
    """Kill a process with SIGKILL when the month has come to `instant`; the supervisor starts it again."""

    def disturb(folder: Folder) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not folder.clock.exists() or ManualClock(folder.clock).now() < instant:
            assert time.monotonic() < deadline, f"the month did not come to {instant}"
            time.sleep(0.01)
        control.kill(folder, process, signal.SIGKILL)

    return disturb
