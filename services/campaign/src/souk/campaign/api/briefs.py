"""The brief as callers write it and read it (domain.md §2)."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Row

from souk.campaign.api.fields import (
    Age,
    Commission,
    Country,
    Currency,
    Day,
    Followers,
    Hashtags,
    Margin,
    Price,
    Rate,
    Text200,
    Text10000,
    Url,
    Urls,
    Word,
    Words,
    Zone,
)
from souk.campaign.domain.status import Status
from souk.campaign.store.campaigns import brief_of, status_of_row
from souk.chassis.amount import Amount
from souk.chassis.auth import Principal
from souk.chassis.percent import ShownPercent
from souk.contracts.topics.campaigns import Audience, CampaignType, Connection, Gender, Platform


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AudienceFields(_Request):
    """Filters on who may take part; one that is empty or null is not set. Bounds are inclusive."""

    platforms: Annotated[tuple[Platform, ...], Field(max_length=20)] | None = None
    connections: Annotated[tuple[Connection, ...], Field(max_length=3)] | None = None
    regions: Words | None = None
    categories: Words | None = None
    genders: Annotated[tuple[Gender, ...], Field(max_length=3)] | None = None
    age_min: Age | None = None
    age_max: Age | None = None
    followers_min: Followers | None = None
    followers_max: Followers | None = None


class RatesFields(_Request):
    """What one unit pays, in the campaign's currency; commission is a percentage of an order's value."""

    posting: Rate | None = None
    like: Rate | None = None
    view: Rate | None = None
    share: Rate | None = None
    comment: Rate | None = None
    follower: Rate | None = None
    click: Rate | None = None
    conversion: Rate | None = None
    commission: Commission | None = None


class BriefFields(_Request):
    """Everything may be left out of a draft; null is the same as left out, or takes back what was set.

    margin (33 % when unset), HubSpot deal and persons in charge are staff's; agency_margin is staff's
    and the agency's. time_zone: the country's when unset. track_posts: always so for `social`.
    """

    advertiser_id: UUID | None = None
    title: Text200 | None = None
    hubspot_deal_id: Word | None = None
    sales_pic_id: UUID | None = None
    influencer_pic_id: UUID | None = None
    pre_launch_date: Day | None = None
    start_date: Day | None = None
    end_date: Day | None = None
    country: Country | None = None
    time_zone: Zone | None = None
    category: Word | None = None
    audience: AudienceFields | None = None
    approval_mode: Literal["auto", "manual"] | None = None
    multi_posting: bool | None = None
    visibility: Literal["normal", "closed"] | None = None
    track_posts: bool | None = None
    draft_required: bool | None = None
    hashtags: Hashtags | None = None
    product_information: Text10000 | None = None
    post_requirements: Text10000 | None = None
    product_url: Url | None = None
    landing_url: Url | None = None
    material_url: Url | None = None
    thumbnail_url: Url | None = None
    sample_urls: Urls | None = None
    currency: Currency | None = None
    rates: RatesFields | None = None
    cap: Annotated[Price, Field(gt=0)] | None = None
    budget: Price | None = None
    margin: Margin | None = None
    agency_margin: Margin | None = None
    hold_days: Annotated[int, Field(ge=0, le=365)] | None = None
    window_days: Annotated[int, Field(ge=1, le=365)] | None = None


class CampaignDraft(BriefFields):
    type: CampaignType


class CampaignEdit(BriefFields):
    """Merge patch (RFC 7396); audience and rates are merged field by field."""

    type: CampaignType | None = None


FIXED = frozenset({"advertiser_id", "type"})
"""A campaign always has these: an edit can't take them away."""

Keyword = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class RatesOut(BaseModel):
    posting: Amount
    like: Amount
    view: Amount
    share: Amount
    comment: Amount
    follower: Amount
    click: Amount
    conversion: Amount
    commission: ShownPercent


class CampaignOut(BaseModel):
    """A campaign as its advertiser sees it."""

    id: UUID
    version: int
    created_at: datetime
    changed_at: datetime
    approved_at: datetime | None
    status: Status
    opens_at: datetime | None
    starts_at: datetime | None
    ends_at: datetime | None
    advertiser_id: UUID
    agency_id: UUID | None
    type: CampaignType
    title: str
    pre_launch_date: date | None
    start_date: date | None
    end_date: date | None
    country: str | None
    time_zone: str | None
    category: str | None
    audience: Audience
    approval_mode: Literal["auto", "manual"]
    multi_posting: bool
    visibility: Literal["normal", "closed"]
    track_posts: bool
    draft_required: bool
    hashtags: tuple[str, ...]
    product_information: str
    post_requirements: str
    product_url: str | None
    landing_url: str | None
    material_url: str | None
    thumbnail_url: str | None
    sample_urls: tuple[str, ...]
    currency: str | None
    rates: RatesOut
    cap: Amount | None
    budget: Amount | None
    budget_version: int
    hold_days: int
    window_days: int


class AgencyCampaignOut(CampaignOut):
    """As its agency sees it."""

    agency_margin: ShownPercent


class StaffCampaignOut(AgencyCampaignOut):
    """As staff see it."""

    hubspot_deal_id: str | None
    sales_pic_id: UUID | None
    influencer_pic_id: UUID | None
    margin: ShownPercent


AnyCampaignOut = StaffCampaignOut | AgencyCampaignOut | CampaignOut


def shown_to(who: Principal, row: Row[Any], now: datetime) -> AnyCampaignOut:
    """The campaign with what the caller's role may see of it: whatever isn't theirs is no member at all."""
    brief = brief_of(row)
    values = {
        **row._mapping,
        "audience": brief.audience,
        "rates": brief.rates.model_dump(),
        "track_posts": brief.tracks_posts,
        "time_zone": brief.zone,
        "status": status_of_row(row, now),
    }
    shapes: dict[str, type[CampaignOut]] = {"staff": StaffCampaignOut, "agency": AgencyCampaignOut}
    return shapes.get(who.role, CampaignOut).model_validate(values)
