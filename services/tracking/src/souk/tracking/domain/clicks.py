"""Verdicts of clicks: decided by click time, whatever the order of arrival (domain.md §5)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

Verdict = Literal["billable", "bot", "duplicate", "outside_period"]
VERDICTS: tuple[Verdict, ...] = ("billable", "bot", "duplicate", "outside_period")


@dataclass(frozen=True, slots=True)
class Hit:
    """A click as far as verdicts are concerned."""

    id: UUID
    clicked_at: datetime
    bot: bool


@dataclass(frozen=True, slots=True)
class Period:
    """When a link's clicks are billable: the campaign's period, ended by a withdrawal; half-open."""

    starts_at: datetime | None
    ends_at: datetime | None
    withdrawn_at: datetime | None = None

    def covers(self, instant: datetime) -> bool:
        if self.starts_at is None or self.ends_at is None or not self.starts_at <= instant < self.ends_at:
            return False
        return self.withdrawn_at is None or instant < self.withdrawn_at


def decide(hits: Iterable[Hit], period: Period, window: timedelta) -> dict[UUID, Verdict]:
    """The verdict of each click of one visitor on one link.

    A billable click opens a window in which the visitor's further clicks are duplicates; the next one
    after it is billable again. Bots and clicks outside the period neither open windows nor close them.
    """
    verdicts: dict[UUID, Verdict] = {}
    open_until: datetime | None = None
    for hit in sorted(hits, key=lambda hit: (hit.clicked_at, hit.id)):
        if hit.bot:
            verdicts[hit.id] = "bot"
        elif not period.covers(hit.clicked_at):
            verdicts[hit.id] = "outside_period"
        elif open_until is not None and hit.clicked_at < open_until:
            verdicts[hit.id] = "duplicate"
        else:
            verdicts[hit.id] = "billable"
            open_until = hit.clicked_at + window
    return verdicts


@dataclass(frozen=True, slots=True)
class Judged:
    """A click with what is stored about it; reversed is staff's word on top of the verdict."""

    verdict: Verdict | None
    reversed: bool


def counters(clicks: Iterable[Judged]) -> Mapping[str, int]:
    """How a link's cumulative counts split: every click is in exactly one, undecided ones in none."""
    counts = dict.fromkeys((*VERDICTS, "reversed"), 0)
    for click in clicks:
        if click.verdict is not None:
            counts["reversed" if click.reversed and click.verdict == "billable" else click.verdict] += 1
    return counts


def difference(before: Sequence[Judged], after: Sequence[Judged]) -> dict[str, int]:
    """What a link's counts change by when its clicks go from `before` to `after`."""
    old, new = counters(before), counters(after)
    return {name: new[name] - old[name] for name in new}
