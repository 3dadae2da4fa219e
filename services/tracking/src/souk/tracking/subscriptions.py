"""Topics that tracking reads, and which handlers they go to."""

from collections.abc import Sequence
from datetime import timedelta

from souk.chassis.intake import Intake
from souk.chassis.work import Work
from souk.contracts.topics.campaigns import CAMPAIGNS, Campaign
from souk.contracts.topics.clicks import CLICKS, Click
from souk.contracts.topics.earnings import EARNINGS, Earning
from souk.contracts.topics.influencers import INFLUENCERS, Influencer
from souk.contracts.topics.participations import PARTICIPATIONS, Participation
from souk.contracts.topics.users import USERS, User
from souk.tracking.handlers import clicks, conversions, erasure, following, links, posts
from souk.tracking.settings import TrackingSettings
from souk.tracking.store import copies, tables


def intake(settings: TrackingSettings) -> Intake:
    """The service's one intake."""
    reading = Intake("tracking")
    keeping = clicks.Keeping(
        window=timedelta(hours=settings.click_window_hours), kept=timedelta(days=settings.clicks_kept_days)
    )
    steps = following.steps(settings)

    @reading.reads(USERS, copy=tables.member)
    async def users_changed(work: Work, states: Sequence[User]) -> None:
        await copies.copy_users(work, states)

    @reading.reads(INFLUENCERS, copy=tables.influencer)
    async def influencers_changed(work: Work, states: Sequence[Influencer]) -> None:
        await erasure.erase(work, await copies.copy_influencers(work, states))

    @reading.reads(CAMPAIGNS, copy=tables.campaign)
    async def campaigns_changed(work: Work, states: Sequence[Campaign]) -> None:
        changed = await copies.copy_campaigns(work, states)
        if changed:
            await following.follow(work, changed, steps)

    @reading.reads(PARTICIPATIONS, copy=tables.participation)
    async def participations_changed(work: Work, states: Sequence[Participation]) -> None:
        await copies.hold_campaigns(work, {state.campaign_id for state in states})
        newer = await copies.copy_participations(work, states)
        if newer:
            rows = await copies.participations(work, newer)
            campaigns = {row.campaign_id for row in rows}
            await links.follow(work, campaigns, None, newer, public_url=settings.public_url)
            left = (
                await clicks.follow_periods(work, campaigns, None, newer, window=keeping.window),
                await conversions.follow_participations(work, rows),
            )
            if left != (None, None):
                following.follow_later(work, campaigns)

    @reading.reads(CLICKS)
    async def clicks_happened(work: Work, states: Sequence[Click]) -> None:
        new = await clicks.take_in(work, states, keeping)
        if new:
            await conversions.follow_clicks(work, new)

    @reading.reads(EARNINGS)
    async def earnings_changed(work: Work, states: Sequence[Earning]) -> None:
        await posts.hear_billing(work, states)

    return reading
