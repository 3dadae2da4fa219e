"""What may still change once a campaign is approved: creators joined on its terms (domain.md §2)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from souk.campaign.domain.brief import Brief
from souk.campaign.domain.fault import Fault
from souk.campaign.domain.period import period_of, today
from souk.contracts.reasons import Reason

FIXED = (
    "advertiser_id",
    "type",
    "track_posts",
    "currency",
    "rates",
    "margin",
    "agency_margin",
    "hold_days",
    "window_days",
)
_DATES = ("pre_launch_date", "start_date", "end_date", "country", "time_zone")
_UNTIL_FINISHED = (*_DATES, "budget", "cap")

Event = Literal["campaign.changed", "campaign.raised", "campaign.rescheduled", "campaign.stopped"]


def forbidden(before: Brief, after: Brief, now: datetime) -> list[Fault]:
    """Why an approved campaign may not go from `before` to `after`; empty when it may."""
    return list(_forbidden(before, after, now))


def _forbidden(before: Brief, after: Brief, now: datetime) -> Iterator[Fault]:
    changed = {name for name in (*FIXED, *_UNTIL_FINISHED) if getattr(before, name) != getattr(after, name)}
    for name in FIXED:
        if name in changed:
            yield Fault(Reason.FIXED_SINCE_APPROVAL, f"/{name}", f"{name} is fixed since the approval")
    old, new = period_of(before, now), period_of(after, now)
    if old.ends_at is not None and now >= old.ends_at:
        for name in _UNTIL_FINISHED:
            if name in changed:
                yield Fault(Reason.FINISHED, f"/{name}", "the campaign is finished")
        return
    if (after.budget or 0) < (before.budget or 0):
        yield Fault(Reason.ONLY_MAY_RISE, "/budget", "the budget may only rise")
    if after.cap is not None and (before.cap is None or after.cap < before.cap):
        yield Fault(Reason.ONLY_MAY_RISE, "/cap", "the cap may only rise")
    if old.starts_at is not None and now >= old.starts_at and new.starts_at != old.starts_at:
        yield Fault(Reason.START_FIXED, "/start_date", "the campaign has started")
    if (
        old.ends_at is not None
        and new.ends_at is not None
        and new.ends_at < old.ends_at
        and not _ends_today(after, now)
    ):
        yield Fault(Reason.INVALID_PERIOD, "/end_date", "the end may move later, or to today")


def _ends_today(brief: Brief, now: datetime) -> bool:
    return brief.zone is not None and brief.end_date == today(now, brief.zone)


def raises(before: Brief, after: Brief) -> bool:
    """Whether the budget rose, which makes a new budget version."""
    return (after.budget or 0) > (before.budget or 0)


def event_of(before: Brief, after: Brief) -> Event:
    """What happened, of several things the weightiest: a stop, a raise, another period, any change."""
    old, new = period_of(before, None), period_of(after, None)
    if old.ends_at is not None and new.ends_at is not None and new.ends_at < old.ends_at:
        return "campaign.stopped"
    if raises(before, after) or after.cap != before.cap:
        return "campaign.raised"
    if new != old:
        return "campaign.rescheduled"
    return "campaign.changed"
