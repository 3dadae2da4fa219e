"""What other terms of a campaign mean for its posts, links, clicks and conversions (domain.md §2, §4, §5).

A campaign may have more of them than one unit of work should hold: each step takes a part and says after
what to go on, and the parts beyond the first are left to a job.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from souk.chassis.timers import Job
from souk.chassis.work import Work
from souk.tracking.handlers import clicks, conversions, links, posts
from souk.tracking.settings import TrackingSettings
from souk.tracking.store import copies

KIND = "campaign.follow"
Step = Callable[[Work, Collection[UUID], Any], Awaitable[Any]]
"""Follows one part of these campaigns, whose rows are held: what comes after the given place, None for
the first. The place to go on after, None when nothing is left."""


def steps(settings: TrackingSettings) -> Sequence[Step]:
    """In their order: a click is judged once its link is made."""
    return (
        posts.follow_periods,
        partial(links.follow, public_url=settings.public_url),
        partial(clicks.follow_periods, window=timedelta(hours=settings.click_window_hours)),
        conversions.follow_terms,
    )


async def follow(work: Work, campaigns: Collection[UUID], steps: Sequence[Step]) -> None:
    """Follow campaigns with changed terms; the campaigns' rows are held."""
    left = [await step(work, campaigns, None) is not None for step in steps]
    if any(left):
        follow_later(work, campaigns)


def follow_later(work: Work, campaigns: Collection[UUID]) -> None:
    """Have a job follow each of them whole; their rows are held."""
    for name in sorted(campaigns):
        work.schedule(KIND, name, work.now)


async def follow_whole(job: Job, steps: Sequence[Step]) -> None:
    """Follow the campaign that the timer names part by part, and once more if it changed meanwhile."""
    name = UUID(job.timer.subject)
    async with job.units.begin(read_only=True) as work:
        before = await copies.version_of(work, name)
    for step in steps:
        after = None
        while True:
            async with job.units.begin() as work:
                await copies.hold_campaigns(work, {name})
                after = await step(work, {name}, after)
            if after is None:
                break
    async with job.units.begin() as work:
        # Held: a change either shows in the version, or sets its timer when this one is gone.
        held = await copies.hold_campaigns(work, {name})
        await job.done(work, again_at=None if held[name].version == before else job.timer.due_at)
