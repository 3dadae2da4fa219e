"""What clients were told: every request with its outcome, the evidence that effects are held against."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["acknowledged", "refused", "unknown"]
Json = dict[str, Any]


@dataclass(slots=True)
class Told:
    """One request, sent once or several times with the same key, and the last answer to it.

    kind: what was asked (`join`, `click` …). subject: what names its effect (ids, an order's number).
    asked_at: when, by the history's clock.
    unknown: the connection broke, the time ran out or the server failed; the effect is there or not.
    sent: how often it was sent. at: when it was asked, in seconds since the history's beginning.
    """

    kind: str
    subject: Json
    asked_at: datetime
    outcome: Outcome = "unknown"
    status: int | None = None
    answer: Json = field(default_factory=dict)
    sent: int = 0
    at: float = 0.0

    @property
    def may_have_effect(self) -> bool:
        """Whether it was not simply refused: of what was sent again an answer that was lost may have been
        another."""
        return self.outcome != "refused" or self.sent > 1

    def __str__(self) -> str:
        outcome = self.outcome if self.status is None else f"{self.outcome} ({self.status})"
        return f"{self.kind} {json.dumps(self.subject)}: {outcome}, sent {self.sent} times"


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened meanwhile: a fault and what it met."""

    words: str
    at: float

    def __str__(self) -> str:
        return self.words


_NAMES = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|Campaign \d+-\d+")
"""What findings call their subjects."""


def _wall() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class History:
    """All that was told and what happened meanwhile, each in the order of time.

    newest: at least so many requests are kept, and at most twice as many; all of them when None. clock: the
    suite's, once there is one.
    """

    told: list[Told] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    newest: int | None = None
    clock: Callable[[], datetime] = _wall
    asked: int = 0
    _began: float = field(default_factory=time.monotonic)

    def ask(self, kind: str, **subject: Any) -> Told:
        asked = Told(kind, subject, self.clock(), at=self._at())
        self.told.append(asked)
        self.asked += 1
        if self.newest is not None and len(self.told) > 2 * self.newest:
            del self.told[: -self.newest]
        return asked

    def note(self, words: str) -> None:
        self.notes.append(Note(words, self._at()))

    def _at(self) -> float:
        return round(time.monotonic() - self._began, 3)

    def about(self, findings: Iterable[str]) -> list[str]:
        """What was asked that names what a finding names, and all notes, as lines in the order of time."""
        names = {name for words in findings for name in _NAMES.findall(words)}
        told = [each for each in self.told if any(name in _text(each) for name in names)]
        events: list[Told | Note] = sorted([*told, *self.notes], key=lambda event: event.at)
        return [f"{event.at:8.2f} s  {event}" for event in events]

    def of(self, kind: str, *outcomes: Outcome) -> Iterator[Told]:
        return (t for t in self.told if t.kind == kind and (not outcomes or t.outcome in outcomes))

    def lately(self, told: Told, within: timedelta) -> bool:
        """Whether it was asked so short a time ago, by the clock."""
        return told.asked_at > self.clock() - within

    def counts(self) -> Counter[Outcome]:
        return Counter(each.outcome for each in self.told)

    def write(self, path: Path) -> None:
        with path.open("w") as file:
            for each in self.told:
                file.write(_text(each) + "\n")


def _text(told: Told) -> str:
    return json.dumps(asdict(told), default=str)
