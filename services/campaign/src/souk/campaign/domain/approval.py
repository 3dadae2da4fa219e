"""What a campaign must say before it is approved, and goes on saying afterwards (domain.md §2)."""

from collections.abc import Iterator
from datetime import datetime

from souk.campaign.domain.brief import Brief
from souk.campaign.domain.fault import Fault
from souk.campaign.domain.period import period_of
from souk.campaign.domain.zones import DEFAULT_ZONES
from souk.contracts.reasons import Reason
from souk.contracts.topics.campaigns import CampaignType

SOCIAL_HASHTAGS = 3
TRACKED_HASHTAGS = 1

_PER_POST = ("posting", "like", "view", "share", "comment", "follower")
_PAYING: dict[CampaignType, tuple[str, ...]] = {
    "social": _PER_POST,
    "referral": ("conversion", "commission"),
    "url": ("click", "conversion", "commission"),
    "ecommerce": ("conversion", "commission"),
}
"""Which rates can pay something in a campaign of each type; with post tracking the per-post ones too."""


def missing(brief: Brief) -> list[Fault]:
    """Every mandatory field that isn't filled as the type demands, and every rate that promises what can't be
    earned; empty when the brief is complete."""
    return [Fault(Reason.INCOMPLETE_CAMPAIGN, pointer, detail) for pointer, detail in _missing(brief)]


def over(brief: Brief, now: datetime) -> list[Fault]:
    """A campaign whose end has passed can't be approved; one whose start has passed can, it is ongoing."""
    ends_at = period_of(brief, None).ends_at
    if ends_at is None or now < ends_at:
        return []
    return [Fault(Reason.INCOMPLETE_CAMPAIGN, "/end_date", "the end lies in the past")]


def _missing(brief: Brief) -> Iterator[tuple[str, str]]:
    if not brief.title.strip():
        yield "/title", "a title is needed"
    if brief.country is None:
        yield "/country", "a country is needed"
    elif brief.time_zone is None and DEFAULT_ZONES.get(brief.country) is None:
        yield "/time_zone", f"clocks differ within {brief.country}: name the zone"
    for name in ("start_date", "end_date"):
        if getattr(brief, name) is None:
            yield f"/{name}", "a date is needed"
    if brief.currency is None:
        yield "/currency", "a currency is needed"
    if not brief.budget:
        yield "/budget", "a budget above zero is needed"
    if brief.tracks_posts and not brief.audience.platforms:
        yield "/audience/platforms", "tracked posts need at least one social media"
    yield from _hashtags(brief)
    if brief.type == "url" and not (brief.landing_url or brief.product_url):
        yield "/landing_url", "tracking links need a landing URL or a product URL"
    paying = _PAYING[brief.type] + (_PER_POST if brief.track_posts else ())
    if not any(getattr(brief.rates, name) > 0 for name in paying):
        yield "/rates", f"at least one rate must pay: {', '.join(dict.fromkeys(paying))}"
    for name in type(brief.rates).model_fields:
        if name not in paying and getattr(brief.rates, name) > 0:
            yield f"/rates/{name}", f"nothing in this {brief.type} campaign would ever be paid at this rate"


def _hashtags(brief: Brief) -> Iterator[tuple[str, str]]:
    given = len(brief.hashtags)
    if not brief.tracks_posts:
        if given:
            yield "/hashtags", "a campaign that tracks no posts has no hashtags"
        return
    least = SOCIAL_HASHTAGS if brief.type == "social" else TRACKED_HASHTAGS
    if given < least:
        yield "/hashtags", f"at least {least} different hashtags are needed"
