"""Clicks that were asked for under an Idempotency-Key: their ids are remembered also when the spool has them
no longer, so that one that is asked for again is known.

Two files of 16 bytes an id: when the newer one is full it becomes the older one, and what that held is
forgotten. They are not synced, and a full disk takes no id: a click that is forgotten and asked for again is
on its topic with another instant once more, and is counted once all the same.
"""

from collections.abc import Iterable
from pathlib import Path

_ID_BYTES = 16


class Keyed:
    """most: ids in a file."""

    def __init__(self, folder: Path, most: int) -> None:
        self._newer = folder / "keyed"
        self._older = folder / "keyed.old"
        self._most = most

    def load(self) -> list[bytes]:
        """The oldest first."""
        found: list[bytes] = []
        for path in (self._older, self._newer):
            if path.exists():
                data = path.read_bytes()
                whole = len(data) - len(data) % _ID_BYTES
                found += (data[at : at + _ID_BYTES] for at in range(0, whole, _ID_BYTES))
        return found

    def add(self, ids: Iterable[bytes]) -> None:
        """Raises OSError when the disk is full."""
        with self._newer.open("ab", buffering=0) as file:
            # What a kill or a full disk left of an id would have all later ones begin in the wrong place.
            file.truncate(file.tell() - file.tell() % _ID_BYTES)
            file.write(b"".join(ids))
            is_full = file.tell() >= self._most * _ID_BYTES
        if is_full:
            self._newer.replace(self._older)
