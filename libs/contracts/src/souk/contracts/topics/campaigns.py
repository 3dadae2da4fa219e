"""The brief: audience, rates, period, budget with its version."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from souk.contracts.money import BasisPoints, Micros
from souk.contracts.state import Instant, Part, State
from souk.contracts.topic import Topic

CampaignType = Literal["social", "referral", "url", "ecommerce"]
Platform = Literal["youtube", "instagram", "tiktok", "x", "facebook", "threads"]
Connection = Literal["connected", "stale", "public"]
Gender = Literal["female", "male", "other"]
Lifecycle = Literal["draft", "approved"]

Count = Annotated[int, Field(ge=0)]


class Audience(Part):
    """Who may take part: every filter that is set must hold, bounds are inclusive (domain.md §3).

    An empty tuple or None is a filter that is not set.
    """

    platforms: tuple[Platform, ...] = ()
    connections: tuple[Connection, ...] = ()
    regions: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    genders: tuple[Gender, ...] = ()
    age_min: Count | None = None
    age_max: Count | None = None
    followers_min: Count | None = None
    followers_max: Count | None = None


class Rates(Part):
    """Micros of the campaign's currency per unit; zero pays nothing."""

    posting: Micros = Micros(0)
    like: Micros = Micros(0)
    view: Micros = Micros(0)
    share: Micros = Micros(0)
    comment: Micros = Micros(0)
    follower: Micros = Micros(0)
    click: Micros = Micros(0)
    conversion: Micros = Micros(0)
    commission: BasisPoints = BasisPoints(0)
    """Of an order line's price less discounts, unless the participation carries its own."""


class Campaign(State):
    """A campaign as everyone outside its owner sees it: no margin, no PICs.

    The status beyond draft and approved is derived from these dates, the clock and `billing.budgets`.
    """

    advertiser_id: UUID
    agency_id: UUID | None = None
    type: CampaignType
    lifecycle: Lifecycle
    title: str
    created_at: Instant
    approved_at: Instant | None = None
    country: str | None = None
    time_zone: str | None = None
    pre_launch_date: date | None = None
    start_date: date | None = None
    end_date: date | None = None
    opens_at: Instant | None = None
    """When applications open: the pre-launch date's 00:00 in the zone, else the approval."""
    starts_at: Instant | None = None
    """Start date 00:00 in the campaign's zone, inclusive."""
    ends_at: Instant | None = None
    """End date 24:00 in the campaign's zone, exclusive."""
    category: str | None = None
    audience: Audience = Audience()
    approval_mode: Literal["auto", "manual"] = "manual"
    multi_posting: bool = False
    visibility: Literal["normal", "closed"] = "normal"
    track_posts: bool = False
    draft_required: bool = False
    hashtags: tuple[str, ...] = ()
    """Lower case, without `#` and blanks."""
    product_information: str = ""
    post_requirements: str = ""
    product_url: str | None = None
    landing_url: str | None = None
    """Where tracking links lead; the product URL when unset."""
    material_url: str | None = None
    thumbnail_url: str | None = None
    sample_urls: tuple[str, ...] = ()
    currency: str | None = None
    rates: Rates = Rates()
    cap: Micros | None = None
    """Maximum revenue per influencer."""
    budget: Micros | None = None
    budget_version: Count = 0
    """Grows with each raise, so that an older judgement can't undo a newer budget."""
    hold_days: Count = 0
    window_days: Count = 30
    """How long after a click an order is still credited to it."""
    terms_version: Count = 0
    """The version of `campaign.terms` that goes with it: who values facts needs that one, or a newer one."""


CAMPAIGNS = Topic(
    name="campaign.campaigns.v1",
    owner="campaign",
    state=Campaign,
    events=(
        "campaign.drafted",
        "campaign.changed",
        "campaign.approved",
        "campaign.raised",
        "campaign.rescheduled",
        "campaign.stopped",
    ),
    readers=frozenset({"influencer", "tracking", "billing", "notify"}),
    data_class="public",
    partition_by="id",
    description="Brief, audience, rates, period, budget with its version.",
)
