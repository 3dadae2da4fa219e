"""Period arithmetic: calendar days in the campaign's zone (domain.md §2)."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from souk.campaign.domain.brief import Brief

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Period:
    """Instants in UTC; None while the dates or the zone they follow from are unset.

    opens_at: when applications open. starts_at: inclusive. ends_at: exclusive.
    """

    opens_at: datetime | None
    starts_at: datetime | None
    ends_at: datetime | None


def period_of(brief: Brief, approved_at: datetime | None) -> Period:
    """Applications open at the pre-launch date, at the approval when it is unset."""
    zone = brief.zone
    if zone is None:
        return Period(approved_at, None, None)
    return Period(
        opens_at=day_starts(brief.pre_launch_date, zone) if brief.pre_launch_date else approved_at,
        starts_at=day_starts(brief.start_date, zone) if brief.start_date else None,
        ends_at=day_starts(brief.end_date + _DAY, zone) if brief.end_date else None,
    )


def day_starts(day: date, zone: str) -> datetime:
    """The first instant of `day` in `zone`, in UTC.

    Where clocks skip midnight the day starts at the jump; where midnight comes twice, at the first.
    Both are what fold 0 means (PEP 495).
    """
    return datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(UTC)


def today(now: datetime, zone: str) -> date:
    return now.astimezone(ZoneInfo(zone)).date()
