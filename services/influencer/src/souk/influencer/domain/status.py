"""The status of a campaign: derived, never stored (domain.md §2)."""

from datetime import datetime
from typing import Literal

from souk.contracts.topics.campaigns import Lifecycle

Status = Literal["draft", "upcoming", "ongoing", "over_budget", "finished"]


def status_at(
    now: datetime,
    lifecycle: Lifecycle,
    starts_at: datetime | None,
    ends_at: datetime | None,
    *,
    exhausted: bool,
) -> Status:
    """finished > over_budget > ongoing > upcoming, each from approval on.

    exhausted: billing's verdict on the campaign's present budget version, see `is_exhausted`.
    """
    if lifecycle == "draft":
        return "draft"
    if ends_at is not None and now >= ends_at:
        return "finished"
    if exhausted:
        return "over_budget"
    return "ongoing" if starts_at is not None and now >= starts_at else "upcoming"


def is_exhausted(campaign_version: int, judged_version: int | None, verdict: str | None) -> bool:
    """Whether billing's verdict speaks of the budget we know, or of a newer one.

    campaign_version, judged_version: versions of the budget. An older verdict can't undo a raise.
    """
    return verdict == "exhausted" and judged_version is not None and judged_version >= campaign_version
