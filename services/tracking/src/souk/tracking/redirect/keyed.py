"""Clicks that were asked for under an Idempotency-Key: their ids are remembered when the spool has them no
longer, so that one that is asked for again is known.

Two files of 16 bytes an id: when the newer one is full it becomes the older one, and what that held is
forgotten. They are not synced: what a machine that loses its power forgets is a click that is on its topic
with another instant once more, and is counted once all the same.
"""

import os
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
                # What a kill left of an id would have all later ones begin in the wrong place.
                os.truncate(path, whole)
        return found

    def add(self, ids: Iterable[bytes]) -> None:
        """Raises OSError when the disk is full."""
        with self._newer.open("ab") as file:
            file.write(b"".join(ids))
            is_full = file.tell() >= self._most * _ID_BYTES
        if is_full:
            self._newer.replace(self._older)
