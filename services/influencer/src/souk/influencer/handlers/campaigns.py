"""What a campaign's state sets going here: its announcements, and the followers' base at its start."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from sqlalchemy import Row

from souk.chassis.work import Work
from souk.contracts.topics.campaigns import Campaign
from souk.influencer.store import copies

STARTS = "campaign.starts"
UPCOMING = "announce.upcoming"
STARTED = "announce.started"


def batch_at(day: date) -> datetime:
    """When the campaigns that start on the Bangkok date `day` are announced: 08:00 there (domain.md §7)."""
    return datetime.combine(day, time(1), UTC)


async def keep(work: Work, states: Sequence[Campaign]) -> None:
    before = await copies.lock_campaigns(work, {state.id for state in states})
    newer = await copies.keep_campaigns(work, states)
    newest = {state.id: state for state in sorted(states, key=lambda state: state.version)}
    for state_id in sorted(newer):
        if newest[state_id].lifecycle == "approved":
            _set_timers(work, before.get(state_id), newest[state_id])


def _set_timers(work: Work, before: Row[Any] | None, state: Campaign) -> None:
    known = before if before is not None and before.lifecycle == "approved" else None
    if state.starts_at is not None and (known is None or known.based_at is None):
        if known is None or known.starts_at != state.starts_at:
            work.schedule(STARTS, state.id, state.starts_at)
        if known is None and state.starts_at > work.now:
            work.schedule(UPCOMING, state.id, work.now)
    if state.start_date is None or state.approved_at is None:
        return
    if known is not None and (known.started_announced_at or known.start_date == state.start_date):
        return
    if state.approved_at < batch_at(state.start_date):
        work.schedule(STARTED, state.start_date.isoformat(), batch_at(state.start_date))
