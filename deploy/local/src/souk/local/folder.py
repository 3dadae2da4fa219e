"""The data folder: its lock, its version, its remembered ports and its secrets."""

import fcntl
import json
import os
import random
import secrets
import shutil
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from souk.contracts.topic import SERVICES
from souk.local.errors import StackError

PRINCIPALS = (*SERVICES, "subscriber", "admin")
FORMAT = {"layout": 1, "kafka": "4.3", "postgres": "18"}
NEEDED_BYTES = 1 << 30
# Below the range that the kernel gives to outgoing connections, which could sit on a remembered port.
_PORTS = range(20_000, 32_000)
_claimed: dict[int, socket.socket] = {}


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths below one data folder (`.souk/`, or what SOUK_DATA names)."""

    root: Path

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def pids(self) -> Path:
        return self.root / "pids"

    @property
    def socket(self) -> Path:
        return self.root / "control.sock"

    @property
    def jwks(self) -> Path:
        """Public keys of the development tokens."""
        return self.root / "jwks.json"

    @property
    def signing_key(self) -> Path:
        return self.root / "signing-key.json"

    @property
    def clock(self) -> Path:
        """The movable clock's file (8 bytes; see `souk.chassis.clock`)."""
        return self.root / "clock"

    @property
    def spool(self) -> Path:
        """Where tracking's redirect keeps clicks until tracking's database has them."""
        return self.root / "spool"

    @property
    def standins(self) -> Path:
        """Where the stand-in of the mail server keeps what it gets."""
        return self.root / "standins"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


def data_folder() -> Folder:
    return Folder(Path(os.environ.get("SOUK_DATA") or ".souk").absolute())


def open_folder(folder: Folder) -> None:
    """Create the folder, or check that this version can use it. Raises StackError."""
    try:
        folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (folder.logs, folder.pids, folder.spool):
            path.mkdir(exist_ok=True)
    except OSError as error:
        raise StackError(
            f"The data folder {folder.root} can't be written ({error.strerror}): "
            "set SOUK_DATA to a folder that can."
        ) from error
    free = shutil.disk_usage(folder.root).free
    if free < NEEDED_BYTES:
        raise StackError(
            f"Only {free >> 20} MB are free at {folder.root}, and souk needs {NEEDED_BYTES >> 20} MB: "
            "free some space or set SOUK_DATA to a folder on another disk."
        )
    marker = folder.root / "format.json"
    if not marker.exists():
        write_private(marker, json.dumps(FORMAT))
    elif (found := json.loads(marker.read_text())) != FORMAT:
        raise StackError(
            f"The data folder {folder.root} was made by another version of souk ({found}): "
            "use that version, or remove the folder to start anew."
        )


def lock(folder: Folder) -> IO[str]:
    """Take the folder until the returned file is closed. Raises StackError when it is taken."""
    file = (folder.root / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise StackError(
            f"souk is already running in {folder.root}: "
            "stop it with `souk down`, or set SOUK_DATA to another folder."
        ) from error
    return file


def running(folder: Folder) -> bool:
    """Whether a supervisor holds the folder."""
    if not (folder.root / "lock").exists():
        return False
    try:
        lock(folder).close()
    except StackError:
        return True
    return False


def write_private(path: Path, text: str) -> None:
    """Write whole or not at all, readable by the owner alone."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def passwords(folder: Folder, names: Iterable[str]) -> Mapping[str, str]:
    """Secrets by name, generated once per data folder: 32 bytes each, in base64url."""
    path = folder.root / "secrets.json"
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in names if name not in known]
    if missing:
        known |= {name: secrets.token_urlsafe(32) for name in missing}
        write_private(path, json.dumps(known, indent=1))
    return known


def ports(
    folder: Folder, fixed: Mapping[str, str | None], preferred: Mapping[str, int] | None = None
) -> Mapping[str, int]:
    """A port for each name: the one set, else the preferred, else that of the last time, else any free one.

    fixed: name → the environment variable that may set it (None: none may).
    Raises StackError when a port that was set is in use or is no port.
    """
    path = folder.root / "ports.json"
    remembered: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    chosen: dict[str, int] = {}
    for name, variable in fixed.items():
        text = os.environ.get(variable, "") if variable else ""
        if variable and text:
            chosen[name] = _set_port(variable, text)
            continue
        choices = [port for known in (preferred or {}, remembered) if (port := known.get(name))]
        chosen[name] = next(
            (port for port in choices if port not in chosen.values() and is_free(port)), 0
        ) or free_port({*chosen.values(), *remembered.values()})
    write_private(path, json.dumps(remembered | chosen, indent=1))
    return chosen


def remembered_ports(folder: Folder) -> Mapping[str, int]:
    path = folder.root / "ports.json"
    return json.loads(path.read_text()) if path.exists() else {}


def expect_started(folder: Folder) -> None:
    """Raises StackError when nothing was ever started in the folder."""
    if not remembered_ports(folder):
        raise StackError(
            f"Nothing was started in {folder.root} yet: run `souk up` first, or set SOUK_DATA to the folder"
            " in which it was."
        )


def _claim(port: int) -> bool:
    """Two suites that start at the same time have each chosen some thirty ports and listen at none yet: one
    pair in fourteen would have one in common. A name in Linux's abstract space ends with its process.
    """
    if sys.platform != "linux":
        return True
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0souk port {port}")
    except OSError:
        claim.close()
        return False
    _claimed[port] = claim
    return True


def _set_port(variable: str, text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise StackError(f"{variable}={text} is no port: set it to a number from 1 to 65535.")
    if not is_free(int(text)):
        raise StackError(
            f"Port {text} is in use: stop the program that uses it, or set {variable} to another."
        )
    return int(text)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(taken: set[int]) -> int:
    """Nobody listens at it, and no other process on this machine has chosen it and is still there."""
    for port in random.sample(_PORTS, 200):
        if port not in taken and is_free(port) and _claim(port):
            return port
    raise StackError("No free port was found between 20000 and 32000: stop some programs and try again.")
