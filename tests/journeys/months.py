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
Disturbance = Callable[[Folder, "subprocess.Popen[str]"], None]
README_MONTH = 'make demo ARGS="--seed 7 --hashtags comedy,funny,humor --json"'


def outside_make() -> dict[str, str]:
    """This environment without what a make that runs the tests hands down to other makes."""
    own = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "ARGS"}
    return {name: value for name, value in os.environ.items() if name not in own}


def play(folder: Folder, *options: str, disturb: Disturbance | None = None) -> dict[str, Any]:
    """`souk demo --json` in `folder`; `disturb` runs beside it once its clock is there."""
    return run((str(SOUK), "demo", "--json", *options), folder, disturb)


def run(command: Sequence[str], folder: Folder, disturb: Disturbance | None = None) -> dict[str, Any]:
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
                disturb(folder, demo)
            out, _ = demo.communicate(timeout=LIMIT_SECONDS)
        except (AssertionError, subprocess.TimeoutExpired) as late:
            late.add_note(told(folder, errors))
            raise
        finally:
            if demo.poll() is None:
                os.killpg(demo.pid, signal.SIGINT)
                demo.communicate(timeout=60)
    assert demo.returncode == 0, errors.read_text()[-4_000:]
    found: dict[str, Any] = json.loads(out)
    return found


def told(folder: Folder, errors: Path) -> str:
    """How far the month says that it came, and the end of every process's log."""
    ends = [
        f"{log.name}:\n{log.read_text(errors='replace')[-1_500:]}" for log in sorted(folder.logs.glob("*"))
    ]
    clock = ManualClock(folder.clock).now() if folder.clock.exists() else "not set"
    return "\n".join([errors.read_text()[-4_000:], f"the month's clock: {clock}", *ends])


def kill_at(instant: datetime, process: str) -> Disturbance:
    """Kill a process with SIGKILL when the month has come to `instant`; the supervisor starts it again."""

    def disturb(folder: Folder, demo: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not folder.clock.exists() or ManualClock(folder.clock).now() < instant:
            assert demo.poll() is None, f"the month ended with {demo.returncode} before {instant}"
            assert time.monotonic() < deadline, f"the month did not come to {instant}"
            time.sleep(0.01)
        control.kill(folder, process, signal.SIGKILL)

    return disturb
