"""Where the mail server keeps what it gets: one file, the oldest dropped when it would grow too large."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    size INTEGER NOT NULL,
    content BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS message_recipient ON message (recipient, id);
"""
_DROPPED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Mail:
    """A message for one recipient. received_at: by the suite's clock. size: bytes."""

    id: int
    received_at: datetime
    sender: str
    recipient: str
    subject: str
    size: int


@dataclass(frozen=True, slots=True)
class Counts:
    """received: ever. kept: still there; to so many recipients."""

    received: int
    kept: int
    bytes_kept: int
    recipients: int


class Mailbox:
    """Holds at most `most` messages with at most `most_bytes`; survives a kill of its process."""

    def __init__(self, file: Path, *, most: int = 20_000, most_bytes: int = 128 << 20) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._database = sqlite3.connect(file, isolation_level=None)
        # What is written survives the process; that it survives the machine is not worth a sync a mail.
        self._database.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; {_SCHEMA}")
        self._kept, self._bytes = self._database.execute(
            "SELECT count(*), coalesce(sum(size), 0) FROM message"
        ).fetchone()

    def close(self) -> None:
        self._database.close()

    def keep(self, at: datetime, sender: str, recipients: Sequence[str], content: bytes) -> None:
        rows = [(at.isoformat(), sender, recipient, len(content), content) for recipient in recipients]
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT INTO message (received_at, sender, recipient, size, content) VALUES (?, ?, ?, ?, ?)", rows
        )
        self._kept += len(rows)
        self._bytes += len(rows) * len(content)
        while self._kept > self._most or self._bytes > self._most_bytes:
            self._drop_oldest()
        self._database.execute("COMMIT")

    def newest(self, recipient: str | None, limit: int) -> list[Mail]:
        where, values = ("WHERE recipient = ?", [recipient]) if recipient else ("", [])
        rows = self._database.execute(
            "SELECT id, received_at, sender, recipient, size, content "  # noqa: S608 (`where` is one of two)
            f"FROM message {where} ORDER BY id DESC LIMIT ?",
            [*values, limit],
        )
        return [
            Mail(id_, datetime.fromisoformat(at), sender, to, _subject(content), size)
            for id_, at, sender, to, size, content in rows
        ]

    def content(self, mail: int) -> bytes | None:
        """The message as it came, headers and all."""
        row = self._database.execute("SELECT content FROM message WHERE id = ?", [mail]).fetchone()
        return row[0] if row else None

    def counts(self) -> Counts:
        received = self._database.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").fetchone()[0]
        recipients = self._database.execute("SELECT count(DISTINCT recipient) FROM message").fetchone()[0]
        return Counts(received, self._kept, self._bytes, recipients)

    def _drop_oldest(self) -> None:
        dropped = self._database.execute(
            "DELETE FROM message WHERE id IN (SELECT id FROM message ORDER BY id LIMIT ?) RETURNING size",
            [min(_DROPPED_AT_ONCE, max(1, self._kept - self._most))],
        ).fetchall()
        self._kept -= len(dropped)
        self._bytes -= sum(size for (size,) in dropped)


def _subject(content: bytes) -> str:
    head = content.partition(b"\r\n\r\n")[0]
    return str(message_from_bytes(head, policy=policy.default)["subject"] or "")
