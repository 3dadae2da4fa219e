"""Status: derived from approval, dates, clock and budget; never stored (domain.md §2)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Status = Literal["draft", "upcoming", "ongoing", "over_budget", "finished"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What billing last said of a campaign's budget, and of which version of it."""

    budget_version: int
    exhausted: bool


def status_of(
    *,
    approved_at: datetime | None,
    starts_at: datetime | None,
    ends_at: datetime | None,
    budget_version: int,
    judgement: Judgement | None,
    now: datetime,
) -> Status:
    """finished > over_budget > ongoing > upcoming; a judgement of an older budget version says nothing."""
    if approved_at is None or starts_at is None or ends_at is None:
        return "draft"
    if now >= ends_at:
        return "finished"
    if judgement is not None and judgement.exhausted and judgement.budget_version >= budget_version:
        return "over_budget"
    return "ongoing" if now >= starts_at else "upcoming"
