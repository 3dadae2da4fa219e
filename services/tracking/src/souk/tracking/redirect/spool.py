"""Clicks on disk: appended and synced before a redirect is answered, kept until the database has them.

A segment is a file of records `length (4 bytes) crc32 (4 bytes) partition (1 byte) id (16 bytes) value`;
its name is a number that only grows. What a kill in the middle of a write leaves at a segment's end is
recognised by length or checksum and never was acknowledged.

A click that is asked for again under its Idempotency-Key is kept once: what would be kept of the second
request is of another instant, at times of another day's visitor. Such ids are known by their version.
"""

import asyncio
import logging
import os
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import time
from uuid import UUID
from zlib import crc32

from souk.tracking.redirect.keyed import Keyed

log = logging.getLogger(__name__)

SEGMENT_BYTES = 4 * 1024 * 1024
_HEAD = struct.Struct(">II")
_SUFFIX = ".clicks"
_LARGEST = 64 * 1024
KEYED_VERSION = 5
"""Of the UUID of a click that may be asked for again."""
MOST_KEYED = 50_000
"""So many of them at least are known, and at most twice as many."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """One click: where it belongs, its id, and its state as JSON, ready for Kafka."""

    partition: int
    id: UUID
    value: bytes


def encode(partition: int, click_id: bytes, value: bytes) -> bytes:
    body = bytes((partition,)) + click_id + value
    return _HEAD.pack(len(body), crc32(body)) + body


def decode(data: bytes) -> Iterator[Spooled]:
    """The records of a segment, up to its end or to a torn tail."""
    at = 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        if not 17 <= length <= _LARGEST or len(body) < length or crc32(body) != checksum:
            log.warning("a torn record ends a segment", extra={"at": at, "bytes": len(data)})
            return
        yield Spooled(body[0], UUID(bytes=body[1:17]), body[17:])
        at += _HEAD.size + length


@dataclass(slots=True)
class Segment:
    """synced: bytes that are safe. sent: bytes that Kafka has acknowledged. records: in `synced`.
    begun: when it was made, in seconds since the epoch; of an earlier run's, when it was last written."""

    path: Path
    synced: int
    records: int
    begun: float
    sent: int = 0


class Spool:
    """One process writes to a folder. `depth`: clicks that the database has not confirmed."""

    def __init__(
        self, folder: Path, segment_bytes: int = SEGMENT_BYTES, most_keyed: int = MOST_KEYED
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._most_known = 2 * most_keyed
        self._ids = Keyed(folder, most_keyed)
        # A set and the order of its arrivals: a dict from which the oldest goes all the time grows, by the
        # places that are left empty, to three times of what it holds.
        self._known: set[bytes] = set()
        self._arrived: deque[bytes] = deque()
        for keyed in self._ids.load():
            self._know(keyed)
        self._being_written: dict[bytes, asyncio.Future[None]] = {}
        self._frames: list[bytes] = []
        self._keyed: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._writer = ThreadPoolExecutor(1, "spool")
        self._wanted = asyncio.Event()
        self._file: int | None = None
        self._ending = False
        self.appended = 0
        self.grown = asyncio.Event()
        self.segments = self._recover()
        self.recovered = sum(segment.records for segment in self.segments)
        self._next = max((int(segment.path.stem) for segment in self.segments), default=0) + 1

    def _recover(self) -> list[Segment]:
        """What earlier runs left, to be sent again under the same ids."""
        found = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            data = path.read_bytes()
            whole = list(decode(data))
            if whole:
                length = sum(_HEAD.size + 17 + len(each.value) for each in whole)
                found.append(Segment(path, length, len(whole), path.stat().st_mtime))
                # A kill may have come between a click and the note of its id.
                for each in whole:
                    if each.id.version == KEYED_VERSION:
                        self._know(each.id.bytes)
            else:
                path.unlink()
        return found

    @property
    def depth(self) -> int:
        return sum(segment.records for segment in self.segments)

    @property
    def age(self) -> float:
        """Seconds for which the oldest segment has been there; 0 when there is none."""
        return max(time() - self.segments[0].begun, 0.0) if self.segments else 0.0

    async def append(self, frame: bytes, keyed: bytes | None = None) -> None:
        """Return when the click is on disk. Raises OSError when it can't be written.

        keyed: the id of one that may be asked for again: when it is known, the first one's frame is kept.
        """
        if keyed is None:
            await self._written(frame)
            return
        if keyed in self._known:
            return
        if (first := self._being_written.get(keyed)) is None:
            self._keyed.append(keyed)
            self._being_written[keyed] = first = self._written(frame)
            first.add_done_callback(partial(self._remember, keyed))
        # Who goes away leaves it to who asks again.
        await asyncio.shield(first)

    def _written(self, frame: bytes) -> asyncio.Future[None]:
        """Done when the frame is on disk."""
        # One for each who waits: a client that goes away must not take the others' answers along.
        written = asyncio.get_running_loop().create_future()
        self._frames.append(frame)
        self._waiting.append(written)
        self._wanted.set()
        return written

    def _remember(self, keyed: bytes, written: asyncio.Future[None]) -> None:
        del self._being_written[keyed]
        if not written.cancelled() and written.exception() is None:
            self._know(keyed)

    def _know(self, keyed: bytes) -> None:
        if keyed not in self._known:
            self._known.add(keyed)
            self._arrived.append(keyed)
            if len(self._arrived) > self._most_known:
                self._known.remove(self._arrived.popleft())

    async def run(self) -> None:
        """Write and sync what has gathered, again and again: one sync for all who wait."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                await self._flush()
                if self._ending:
                    self._ending = False
                    self._close()
        finally:
            await self._flush()
            self._close()

    async def _flush(self) -> None:
        if not self._frames:
            return
        frames, self._frames = self._frames, []
        keyed, self._keyed = self._keyed, []
        waiting, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(self._writer, self._write, b"".join(frames), len(frames), keyed)
        try:
            # A write that has begun is ended, whatever else ends.
            await asyncio.wait([writing])
        finally:
            while not writing.done():
                await asyncio.wait([writing])
        if (error := writing.exception()) is not None:
            log.error("clicks were not written", exc_info=error)
        for written in waiting:
            if written.done():
                continue
            if error is None:
                written.set_result(None)
            else:
                written.set_exception(OSError("the click was not written"))
        self.grown.set()

    def _write(self, data: bytes, records: int, keyed: Sequence[bytes]) -> None:
        if self._file is None:
            self._open()
        segment = self.segments[-1]
        assert self._file is not None
        try:
            view = memoryview(data)
            at = segment.synced
            while view:
                written = os.pwrite(self._file, view, at)
                view, at = view[written:], at + written
        except OSError:
            # Whatever was written of it is overwritten by the next batch.
            os.ftruncate(self._file, segment.synced)
            raise
        segment.synced = at
        segment.records += records
        self.appended += records
        try:
            if keyed:
                self._ids.add(keyed)
            if segment.synced >= self._segment_bytes:
                self._close()
        except OSError:
            # The clicks are written all the same.
            log.warning("ids were not remembered, or a segment not closed", exc_info=True)

    def _open(self) -> None:
        segment = Segment(self._folder / f"{self._next:012d}{_SUFFIX}", 0, 0, time())
        # Whatever fails below, the next try is not in the way of what this one left.
        self._next += 1
        # O_DSYNC: a write returns when the disk has it. Every system call takes the interpreter's lock
        # anew, and so one of them a batch is waited for, not two.
        file = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_DSYNC, 0o600)
        try:
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError:
            os.close(file)
            segment.path.unlink()
            raise
        # In this order: a segment that is not active may be removed once nothing in it is missing.
        self._file = file
        self.segments.append(segment)

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def read(self, segment: Segment, start: int = 0, limit: int | None = None) -> tuple[list[Spooled], int]:
        """Records from byte `start`, whole ones of at most `limit` bytes, and where the next one begins."""
        with segment.path.open("rb") as file:
            file.seek(start)
            most = segment.synced - start
            data = file.read(most if limit is None else min(limit, most))
        records, at = [], start
        cut = len(data) < most
        for record in _whole(data) if cut else decode(data):
            records.append(record)
            at += _HEAD.size + 17 + len(record.value)
        return records, at

    def is_active(self, segment: Segment) -> bool:
        return self._file is not None and segment is self.segments[-1]

    def rotate(self) -> None:
        """Have the active segment end after the batch in flight, so that it can go once it is confirmed."""
        self._ending = True
        self._wanted.set()

    def remove(self, segment: Segment) -> None:
        segment.path.unlink(missing_ok=True)
        self.segments.remove(segment)


def _whole(data: bytes) -> Iterator[Spooled]:
    """The records that lie in `data` as a whole; the last one may be cut by the reader's limit."""
    at = 0
    while at + _HEAD.size <= len(data):
        length, _ = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        if end > len(data):
            return
        yield from decode(data[at:end])
        at = end
