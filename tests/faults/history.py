"""What clients were told: every request with its outcome, the evidence that effects are held against."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["acknowledged", "refused", "unknown"]
Json = dict[str, Any]


@dataclass(slots=True)
class Told:
    """One request, sent once or several times with the same key, and the last answer to it.

    kind: what was asked (`join`, `click` …). subject: what names its effect (ids, an order's number).
    unknown: the connection broke, the time ran out or the server failed; the effect is there or not.
    sent: how often it was sent.
    """

    kind: str
    subject: Json
    outcome: Outcome = "unknown"
    status: int | None = None
    answer: Json = field(default_factory=dict)
    sent: int = 0


@dataclass(slots=True)
class History:
    """All that was told, in the order in which it was asked."""

    told: list[Told] = field(default_factory=list)

    def ask(self, kind: str, **subject: Any) -> Told:
        asked = Told(kind, subject)
        self.told.append(asked)
        return asked

    def of(self, kind: str, *outcomes: Outcome) -> Iterator[Told]:
        return (t for t in self.told if t.kind == kind and (not outcomes or t.outcome in outcomes))

    def counts(self) -> Counter[Outcome]:
        return Counter(each.outcome for each in self.told)

    def write(self, path: Path) -> None:
        with path.open("w") as file:
            for each in self.told:
                file.write(json.dumps(asdict(each), default=str) + "\n")
