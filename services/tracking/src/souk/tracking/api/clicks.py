"""`/v1/clicks`: raw clicks with their verdicts; staff can take billable ones back."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import exists, select

from souk.chassis.auth import Principal, allowed
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.chassis.problems import Refused
from souk.chassis.sets import among
from souk.contracts.reasons import Reason
from souk.tracking.api.tenants import own_campaign, reaches
from souk.tracking.domain.clicks import Verdict
from souk.tracking.handlers import clicks as handlers
from souk.tracking.store import clicks as store
from souk.tracking.store.tables import campaign, click, link, participation

routes = Routes(prefix="/v1/clicks", tags=["clicks"])
Viewer = Annotated[Principal, allowed("conversion", "view")]
Manager = Annotated[Principal, allowed("conversion", "manage")]


class ClickOut(BaseModel):
    id: UUID
    link_id: UUID
    clicked_at: datetime
    verdict: Verdict | None
    reversed: bool
    referrer: str | None

    @classmethod
    def of(cls, row: Any) -> "ClickOut":
        return cls.model_validate(row, from_attributes=True)


class ReverseClicks(BaseModel):
    """reversed: false gives them back."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[UUID], Field(min_length=1, max_length=500)]
    reversed: bool = True


class ReversedOut(BaseModel):
    changed: int


class VerdictCounts(BaseModel):
    campaign_id: UUID
    verdicts: dict[str, int]


@routes.get("")
async def list_clicks(
    work: WorkDep, who: Viewer, cursor: CursorDep, link_id: UUID, verdict: Verdict | None = None
) -> Page[ClickOut]:
    if await work.scalar(select(link.c.id).where(link.c.id == link_id, reaches(who, link))) is None:
        raise Refused(Reason.UNKNOWN_LINK)
    query = select(click).where(click.c.link_id == link_id)
    if verdict is not None:
        query = query.where(click.c.verdict == verdict)
    rows = await work.fetch_all(cursor.over(query, click.c.clicked_at, click.c.id))
    return cursor.page(rows, ClickOut.of, keys=lambda row: (row.clicked_at, row.id))


@routes.get("/summary")
async def count_clicks(campaign_id: UUID, work: WorkDep, who: Viewer) -> VerdictCounts:
    """Clicks of a campaign by verdict; billable ones that staff took back are `reversed`."""
    await expect_campaign(work, who, campaign_id)
    mine = exists().where(link.c.id == click.c.link_id, reaches(who, link))
    return VerdictCounts(
        campaign_id=campaign_id, verdicts=await store.count_by_verdict(work, campaign_id, mine)
    )


@routes.post("/reverse")
async def reverse_clicks(body: ReverseClicks, work: WorkDep, who: Manager) -> ReversedOut:
    own = select(campaign.c.id).where(own_campaign(who))
    rows = await work.fetch_all(
        select(click.c.id, click.c.link_id, click.c.campaign_id).where(
            among(click.c.id, body.ids), click.c.campaign_id.in_(own)
        )
    )
    return ReversedOut(changed=await handlers.reverse(work, rows, taken_back=body.reversed))


async def expect_campaign(work: WorkDep, who: Principal, campaign_id: UUID) -> None:
    """Raises Refused(unknown_campaign) unless it is the caller's, or they take part in it."""
    query = select(campaign.c.id).where(campaign.c.id == campaign_id, campaign.c.version > 0)
    if who.role in ("talent-agency", "influencer"):
        takes_part = exists().where(participation.c.campaign_id == campaign_id, reaches(who, participation))
        query = query.where(takes_part)
    else:
        query = query.where(own_campaign(who))
    if await work.scalar(query) is None:
        raise Refused(Reason.UNKNOWN_CAMPAIGN)
