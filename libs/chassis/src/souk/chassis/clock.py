"""The suite's clock: the one source of the time that decisions are taken in.

Wall time (time.monotonic, the real now) is only for tokens, leases, retries and webhook windows.
"""

import fcntl
import mmap
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time_ns
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BYTES = 8


def to_micros(instant: datetime) -> int:
    """Whole microseconds since 1970-01-01 UTC. Raises ValueError for an instant without a zone."""
    if instant.tzinfo is None:
        raise ValueError("an instant has a time zone")
    return (instant - _EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


class Clock(Protocol):
    def now(self) -> datetime:
        """The present instant, timezone-aware UTC."""
        ...

    def micros(self) -> int:
        """The present instant in microseconds since the epoch; cheap enough to poll."""
        ...


class SystemClock:
    """Wall time, as in production."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def micros(self) -> int:
        return time_ns() // 1000


class ManualClock:
    """A clock that stands still until `set_manual` moves it; all processes read the same file.

    The file is mapped into memory, so that a read costs no system call. Raises FileNotFoundError
    when there is no clock at `path`.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), _BYTES, prot=mmap.PROT_READ)
        self._value = memoryview(self._map).cast("q")

    def now(self) -> datetime:
        return from_micros(self._value[0])

    def micros(self) -> int:
        return self._value[0]


def set_manual(path: Path, instant: datetime) -> None:
    """Move the clock at `path` to `instant`, making the file when there is none.

    Raises ValueError when `instant` lies before the clock's present: time only goes forward.
    """
    micros = to_micros(instant)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_size < _BYTES:
            os.pwrite(descriptor, micros.to_bytes(_BYTES, "little", signed=True), 0)
            return
        with mmap.mmap(descriptor, _BYTES) as mapped, memoryview(mapped) as raw, raw.cast("q") as value:
            if micros < value[0]:
                raise ValueError(f"the clock stands at {from_micros(value[0])} and only goes forward")
            # One aligned store of eight bytes: a reader sees the old instant or the new one.
            value[0] = micros
    finally:
        os.close(descriptor)


def clock_from(setting: str) -> Clock:
    """`system`, or `manual:/path/to/clock` (SOUK_CLOCK). Raises ValueError for anything else."""
    if setting == "system":
        return SystemClock()
    kind, _, path = setting.partition(":")
    if kind == "manual" and path:
        return ManualClock(Path(path))
    raise ValueError("SOUK_CLOCK is `system` or `manual:/path/to/clock`")
