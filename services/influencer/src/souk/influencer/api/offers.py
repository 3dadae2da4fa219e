"""/v1/offers: the campaigns that an influencer may see; without budget, margin and cost."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Row, Select

from souk.chassis.amount import Amount
from souk.chassis.auth import Principal, allowed
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.chassis.percent import ShownPercent
from souk.chassis.problems import Refused
from souk.chassis.work import Work
from souk.contracts.reasons import Reason
from souk.contracts.topics.campaigns import CampaignType
from souk.contracts.topics.participations import ParticipationState
from souk.influencer.domain.status import Status
from souk.influencer.store import accounts, campaigns, influencers
from souk.influencer.store.offers import ORDER, offered
from souk.influencer.store.tables import campaign

routes = Routes(prefix="/v1/offers", tags=["offers"])
Viewer = Annotated[Principal, allowed("participation", "view")]


class RatesOut(BaseModel):
    """What is paid per unit; commission is a percentage of orders."""

    posting: Amount
    like: Amount
    view: Amount
    share: Amount
    comment: Amount
    follower: Amount
    click: Amount
    conversion: Amount
    commission: ShownPercent


class OfferOut(BaseModel):
    """state: the influencer's own. cap: the most that one influencer earns."""

    campaign_id: UUID
    state: ParticipationState
    status: Status
    type: CampaignType
    title: str
    opens_at: datetime | None
    starts_at: datetime | None
    ends_at: datetime | None
    start_date: date | None
    end_date: date | None
    time_zone: str | None
    country: str | None
    category: str | None
    platforms: list[str]
    approval_mode: Literal["auto", "manual"]
    multi_posting: bool
    draft_required: bool
    hashtags: list[str]
    product_information: str
    post_requirements: str
    product_url: str | None
    material_url: str | None
    thumbnail_url: str | None
    sample_urls: list[str]
    currency: str | None
    rates: RatesOut
    cap: Amount | None

    @classmethod
    def of(cls, row: Row[Any], now: datetime) -> "OfferOut":
        columns = {name: getattr(row, name) for name in _COLUMNS}
        brief = {name: row.brief[name] for name in cls.model_fields if name in row.brief}
        status = campaigns.status_of(row, now)
        return cls(campaign_id=row.id, status=status, **columns, **brief)


_COLUMNS = (
    "state", "type", "title", "opens_at", "starts_at", "ends_at", "start_date", "platforms", "approval_mode",
)  # fmt: skip


@routes.get("")
async def list_offers(
    work: WorkDep, who: Viewer, cursor: CursorDep, influencer_id: UUID | None = None
) -> Page[OfferOut]:
    """The first to start first. Staff and talent agencies say whose offers."""
    query = await _offered(work, who, influencer_id)
    rows = await work.fetch_all(cursor.over(query, *ORDER))
    return cursor.page(rows, lambda row: OfferOut.of(row, work.now), lambda row: (row.sort_key, row.id))


@routes.get("/{campaign_id}")
async def read_offer(
    campaign_id: UUID, work: WorkDep, who: Viewer, influencer_id: UUID | None = None
) -> OfferOut:
    query = await _offered(work, who, influencer_id)
    row = await work.fetch_one(query.where(campaign.c.id == campaign_id))
    if row is None:
        raise Refused(Reason.UNKNOWN_CAMPAIGN)
    return OfferOut.of(row, work.now)


async def _offered(work: Work, who: Principal, influencer_id: UUID | None) -> Select[Any]:
    if who.role in ("advertiser", "agency"):
        raise Refused(Reason.FORBIDDEN, "offers are made to influencers")
    wanted = influencer_id or who.influencer_id
    person = None if wanted is None else await influencers.find(work, wanted, who)
    if wanted is None or person is None:
        raise Refused(Reason.UNKNOWN_INFLUENCER)
    owned = await accounts.of_influencers(work, [wanted])
    return offered(wanted, accounts.profile_of(person, owned[wanted]), work.now)
