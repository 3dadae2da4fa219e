"""`/v1/links`: tracking links and their cumulative clicks."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import select

from souk.chassis.auth import Principal, allowed
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.chassis.problems import Refused
from souk.contracts.reasons import Reason
from souk.tracking.api.tenants import reaches
from souk.tracking.store.tables import link

routes = Routes(prefix="/v1/links", tags=["links"])
Viewer = Annotated[Principal, allowed("conversion", "view")]


class LinkOut(BaseModel):
    id: UUID
    version: int
    campaign_id: UUID
    participation_id: UUID
    influencer_id: UUID
    slug: str
    url: str
    landing_url: str
    active: bool
    billable: int
    bot: int
    duplicate: int
    outside_period: int
    reversed: int
    last_click_at: datetime | None

    @classmethod
    def of(cls, row: Any) -> "LinkOut":
        return cls.model_validate(row, from_attributes=True)


@routes.get("")
async def list_links(
    *,
    work: WorkDep,
    who: Viewer,
    cursor: CursorDep,
    campaign_id: UUID | None = None,
    participation_id: UUID | None = None,
    influencer_id: UUID | None = None,
) -> Page[LinkOut]:
    query = select(link).where(link.c.slug.is_not(None), reaches(who, link))
    for column, value in (
        (link.c.campaign_id, campaign_id),
        (link.c.participation_id, participation_id),
        (link.c.influencer_id, influencer_id),
    ):
        if value is not None:
            query = query.where(column == value)
    rows = await work.fetch_all(cursor.over(query, link.c.campaign_id, link.c.id))
    return cursor.page(rows, LinkOut.of, keys=lambda row: (row.campaign_id, row.id))


@routes.get("/{link_id}")
async def read_link(link_id: UUID, work: WorkDep, who: Viewer) -> LinkOut:
    row = await work.fetch_one(
        select(link).where(link.c.id == link_id, link.c.slug.is_not(None), reaches(who, link))
    )
    if row is None:
        raise Refused(Reason.UNKNOWN_LINK)
    return LinkOut.of(row)
