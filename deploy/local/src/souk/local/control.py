"""Speaking to the supervisor: start it in the background, follow it, tell it what to do.

One JSON object a line, both ways, over a Unix socket in the data folder that only its owner can open.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from types import MappingProxyType
from typing import Any, Self

from souk.chassis.clock import set_manual
from souk.local.errors import StackError
from souk.local.folder import Folder, lock, open_folder, remembered_ports, running

_ANSWER_SECONDS = 120.0
# It obeys a stop at once; one that is busy or just ending is told again.
_STOP_ANSWER_SECONDS = 2.0
# A Unix socket's path is limited to 108 bytes.
_PATH_LIMIT = 100


class Supervised:
    """A supervisor of this process: `with Supervised(folder) as suite: suite.launch(…)`.

    However the block ends, everything has stopped then, unless it ends well after `leave`. Nothing runs
    before the block begins, so that no interrupt can come between a start and what stops it.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self._left = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self.process and self._left and error is None:
            # Nobody waits for it.
            self.process.returncode = 0
            return
        with _sigint_waits():
            if self.process and isinstance(error, KeyboardInterrupt):
                print("Stopping.", file=sys.stderr)
            try:
                self.stop()
            except StackError as still_running:
                # What the block failed for comes first; an interrupt has no other end than this.
                if error is None or isinstance(error, KeyboardInterrupt):
                    raise
                error.add_note(str(still_running))

    def launch(
        self,
        *,
        servers_only: bool,
        lifeline: bool,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Start the supervisor in the background; when this returns it listens, but nothing else is ready.

        lifeline: everything stops as soon as this process ends, however it ends.
        environment: what everything that is started is told besides this process's own environment.
        Raises StackError when the folder is taken or unusable, or what must be downloaded can't be.
        """
        folder = self.folder
        open_folder(folder)
        lock(folder).close()
        with folder.log("supervisor").open("ab") as log, _sigint_waits():
            self.process = subprocess.Popen(
                [sys.executable, "-m", "souk.local.daemon", str(folder.root)]
                + ["--servers-only"] * servers_only
                + ["--lifeline"] * lifeline,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE if lifeline else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        with self.process.stdout as first:
            said = json.loads(first.readline() or "{}")
        if "listening" not in said:
            raise StackError(
                said.get("error") or f"The supervisor could not start: see {folder.log('supervisor')}."
            )

    def leave(self) -> None:
        """Let it live on after the block. One with a lifeline lives as long as this process all the same."""
        self._left = True

    def stop(self) -> None:
        """Stop everything that `launch` started. Raises StackError when something runs after two minutes.

        Told by a signal: what another process runs in the folder is left alone.
        """
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(_ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            raise _still_running(self.folder) from None
        if self.process.stdin:
            self.process.stdin.close()


@contextmanager
def _sigint_waits() -> Iterator[None]:
    """SIGINT has its effect at the block's end. Only the main thread gets it: in others nothing is done."""
    answer = signal.getsignal(signal.SIGINT)
    if not callable(answer) or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, answer)
        if came:
            signal.raise_signal(signal.SIGINT)


def follow(folder: Folder) -> Iterator[list[dict[str, Any]]]:
    """The processes' states, at each change, until all are ready. Raises StackError when one fails."""
    for answer in _talk(folder, {"do": "follow"}, _ANSWER_SECONDS):
        yield answer["processes"]
        if answer.get("ready"):
            return
    raise StackError(f"The supervisor stopped: see {folder.log('supervisor')}.")


def status(folder: Folder) -> list[dict[str, Any]]:
    """name, state, pid, restarts and start time of each process; empty when nothing runs."""
    if not running(folder):
        return []
    processes: list[dict[str, Any]] = _tell(folder, {"do": "status"})["processes"]
    return processes


def expect_running(folder: Folder) -> None:
    """Raises StackError when nothing runs in the folder."""
    if not running(folder):
        raise nothing_runs(folder)


def nothing_runs(folder: Folder) -> StackError:
    return StackError(
        f"Nothing runs in {folder.root}: start it with `souk up`, "
        "or set SOUK_DATA to the folder in which it runs."
    )


def freeze(folder: Folder, instant: datetime) -> None:
    """Let the suite that will start in the folder have a clock that stands at `instant`.

    Raises StackError in a folder whose suite went by the system's clock, or by a later instant.
    """
    open_folder(folder)
    lock(folder).close()
    if remembered_ports(folder) and not folder.clock.exists():
        raise StackError(
            f"The suite in {folder.root} goes by the system's clock: "
            "let SOUK_DATA name a new folder for another."
        )
    try:
        set_manual(folder.clock, instant)
    except ValueError as error:
        raise StackError(f"The clock in {folder.root} can't be set: {error}.") from error


def kill(folder: Folder, name: str, number: int, *, hold: bool = False) -> None:
    """Send a signal to a process. It is started again when it dies, unless `hold`; then by `restart`."""
    _tell(folder, {"do": "kill", "name": name, "signal": number, "hold": hold})


def restart(folder: Folder, name: str) -> None:
    """Stop (when it runs) and start a process; returns when it is ready again."""
    _tell(folder, {"do": "restart", "name": name})


def stop(folder: Folder) -> bool:
    """Stop everything in the folder; returns when nothing runs any more. False when nothing did.

    Raises StackError when something still runs after two minutes.
    """
    if not running(folder):
        return False
    deadline = time.monotonic() + _ANSWER_SECONDS
    while running(folder):
        # Told again and again: it may not listen yet, or no more.
        with suppress(StackError):
            _tell(folder, {"do": "stop"}, _STOP_ANSWER_SECONDS)
        if time.monotonic() > deadline:
            raise _still_running(folder)
        time.sleep(0.02)
    return True


def _still_running(folder: Folder) -> StackError:
    return StackError(f"The supervisor of {folder.root} doesn't stop: see {folder.log('supervisor')}.")


def wait_ready(folder: Folder) -> None:
    """Returns when every process has been ready once. Raises StackError when one fails."""
    for _ in follow(folder):
        continue


def _tell(folder: Folder, command: dict[str, Any], within: float | None = None) -> dict[str, Any]:
    for answer in _talk(folder, command, within or _ANSWER_SECONDS):
        return answer
    raise StackError(f"The supervisor gave no answer: see {folder.log('supervisor')}.")


def _talk(folder: Folder, command: dict[str, Any], within: float) -> Iterator[dict[str, Any]]:
    """The answers to `command`. Raises StackError, also when one takes longer than `within` seconds or the
    supervisor ends meanwhile."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(within)
        try:
            with socket_address(folder) as address:
                connection.connect(address)
        except OSError as error:
            raise nothing_runs(folder) from error
        try:
            connection.sendall(json.dumps(command).encode() + b"\n")
            with connection.makefile() as lines:
                for line in lines:
                    answer = json.loads(line)
                    if "error" in answer:
                        raise StackError(answer["error"])
                    yield answer
        except TimeoutError as error:
            raise StackError(
                f"The supervisor of {folder.root} doesn't answer: see {folder.log('supervisor')}."
            ) from error
        # A line that it was cut off in is no JSON.
        except (OSError, ValueError) as error:
            raise StackError(f"The supervisor stopped: see {folder.log('supervisor')}.") from error


@contextmanager
def socket_address(folder: Folder) -> Iterator[str]:
    """The socket's path, shortened through a descriptor of its folder where it is too long for the kernel."""
    path = str(folder.socket)
    if len(path.encode()) < _PATH_LIMIT or sys.platform != "linux":
        yield path
        return
    descriptor = os.open(folder.root, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{folder.socket.name}"
    finally:
        os.close(descriptor)
