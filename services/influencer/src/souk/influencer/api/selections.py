"""/v1/selections/{campaign}: who matches a campaign, and who of them is announced to; staff's alone."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import and_, func

from souk.chassis.auth import Principal, allowed
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.chassis.problems import Refused
from souk.chassis.work import Work
from souk.contracts.ids import CampaignId, InfluencerId
from souk.contracts.reasons import Reason
from souk.contracts.topics.participations import ParticipationState
from souk.influencer.api.search import SearchDep
from souk.influencer.api.staff import staff_only
from souk.influencer.domain.eligibility import age_on
from souk.influencer.handlers import moves
from souk.influencer.store import campaigns
from souk.influencer.store.eligibility import influencers_for
from souk.influencer.store.search import SORTS, Sort, found
from souk.influencer.store.tables import influencer, participation

routes = Routes(prefix="/v1/selections", tags=["selections"])
Viewer = Annotated[Principal, allowed("participation", "view")]
Manager = Annotated[Principal, allowed("participation", "manage")]
MOST_SELECTED = 500


class SelectionIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    influencer_ids: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=MOST_SELECTED)]


class CandidateOut(BaseModel):
    """age: today's. engagement: usual likes per 10,000 followers of the largest account."""

    influencer_id: UUID
    state: ParticipationState
    display_name: str
    country: str | None
    region: str | None
    gender: str | None
    age: int | None
    categories: list[str]
    tags: list[str]
    talent_agency_id: UUID | None
    signed_up_at: datetime
    followers: int | None
    engagement: int | None


class Selected(BaseModel):
    influencer_id: UUID
    state: ParticipationState | None
    reason: Reason | None = None


class SelectedOut(BaseModel):
    items: list[Selected]


@routes.get("/{campaign_id}")
async def list_selection(
    campaign_id: UUID,
    work: WorkDep,
    who: Viewer,
    cursor: CursorDep,
    search: SearchDep,
    sort: Sort = "signed_up_at",
    order: Literal["asc", "desc"] = "asc",
    state: ParticipationState | None = None,
) -> Page[CandidateOut]:
    """Everyone who matches, from the draft on; `available` are those who are announced to."""
    staff_only(who)
    campaign = await campaigns.find(work, campaign_id)
    if campaign is None:
        raise Refused(Reason.UNKNOWN_CAMPAIGN)
    today = work.now.date()
    standing = func.coalesce(participation.c.state, "available")
    query = (
        found(search, today)
        .add_columns(standing.label("state"), SORTS[sort].label("sort_key"))
        .outerjoin(
            participation,
            and_(
                participation.c.campaign_id == campaign_id, participation.c.influencer_id == influencer.c.id
            ),
        )
        .where(influencers_for(campaigns.brief_of(campaign), today))
    )
    if state is not None:
        query = query.where(standing == state)
    rows = await work.fetch_all(cursor.over(query, SORTS[sort], influencer.c.id, descending=order == "desc"))

    def shown(row: Any) -> CandidateOut:
        return CandidateOut(
            influencer_id=row.id,
            state=row.state,
            display_name=row.display_name,
            country=row.country,
            region=row.region,
            gender=row.gender,
            age=None if row.birth_date is None else age_on(row.birth_date, today),
            categories=row.categories,
            tags=row.tags,
            talent_agency_id=row.talent_agency_id,
            signed_up_at=row.signed_up_at,
            followers=row.followers,
            engagement=row.engagement,
        )

    return cursor.page(rows, shown, lambda row: (row.sort_key, row.id))


@routes.post("/{campaign_id}/deselect")
async def deselect(campaign_id: UUID, body: SelectionIn, work: WorkDep, who: Manager) -> SelectedOut:
    """Gone from list and detail for them; who has acted already stays (`wrong_state`)."""
    return await _select(work, who, campaign_id, body, "deselect")


@routes.post("/{campaign_id}/reselect")
async def reselect(campaign_id: UUID, body: SelectionIn, work: WorkDep, who: Manager) -> SelectedOut:
    return await _select(work, who, campaign_id, body, "reselect")


async def _select(
    work: Work, who: Principal, campaign_id: UUID, body: SelectionIn, asked: Literal["deselect", "reselect"]
) -> SelectedOut:
    staff_only(who)
    people = [InfluencerId(one) for one in body.influencer_ids]
    results = await moves.select(work, CampaignId(campaign_id), people, asked)
    return SelectedOut(
        items=[
            Selected(influencer_id=person, state=None, reason=result)
            if isinstance(result, Reason)
            else Selected(influencer_id=person, state=result.state)
            for person, result in results
        ]
    )
