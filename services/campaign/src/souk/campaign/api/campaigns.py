"""/v1/campaigns: briefs, from draft to stop."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel

from souk.campaign.api.briefs import (
    FIXED,
    AnyCampaignOut,
    BriefFields,
    CampaignDraft,
    CampaignEdit,
    Keyword,
    shown_to,
)
from souk.campaign.api.merge import changes_of, named_in
from souk.campaign.domain.status import Status
from souk.campaign.handlers import campaigns as handlers
from souk.campaign.store import campaigns as store
from souk.campaign.store.tables import campaign
from souk.chassis.auth import Principal, allowed
from souk.chassis.etag import IfMatchDep, set_etag
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.contracts.topics.campaigns import CampaignType

routes = Routes(prefix="/v1/campaigns", tags=["campaigns"])
Viewer = Annotated[Principal, allowed("campaign", "view")]
Manager = Annotated[Principal, allowed("campaign", "manage")]

_NULLABLE = BriefFields.model_fields.keys() - FIXED


class StatusOut(BaseModel):
    """at: the instant that the status was derived for."""

    status: Status
    at: datetime


@routes.post("", status_code=201, idempotent=True)
async def draft_campaign(
    draft: CampaignDraft, work: WorkDep, who: Manager, response: Response
) -> AnyCampaignOut:
    """An advertiser drafts for itself; staff and agencies name the advertiser."""
    row = await handlers.draft(work, who, named_in(draft))
    response.headers["Location"] = f"/v1/campaigns/{row.id}"
    set_etag(response, row.version)
    return shown_to(who, row, work.now)


@routes.get("")
async def list_campaigns(
    *,
    work: WorkDep,
    who: Viewer,
    cursor: CursorDep,
    status: Status | None = None,
    campaign_type: Annotated[CampaignType | None, Query(alias="type")] = None,
    advertiser_id: UUID | None = None,
    keyword: Annotated[Keyword | None, Query(description="a part of the title")] = None,
) -> Page[AnyCampaignOut]:
    """The newest first."""
    narrowed = store.Filter(status, campaign_type, advertiser_id, keyword)
    query = cursor.over(
        store.seen_by(who, narrowed, work.now), campaign.c.created_at, campaign.c.id, descending=True
    )
    rows = await work.fetch_all(query)
    return cursor.page(rows, lambda row: shown_to(who, row, work.now), lambda row: (row.created_at, row.id))


@routes.get("/{campaign_id}")
async def read_campaign(campaign_id: UUID, work: WorkDep, who: Viewer, response: Response) -> AnyCampaignOut:
    row = await store.find(work, campaign_id, who)
    set_etag(response, row.version)
    return shown_to(who, row, work.now)


@routes.patch("/{campaign_id}")
async def edit_campaign(
    *,
    campaign_id: UUID,
    edit: CampaignEdit,
    work: WorkDep,
    who: Manager,
    expected: IfMatchDep,
    response: Response,
) -> AnyCampaignOut:
    """Of an approved campaign rates, margins, currency and type stay; budget and cap only rise."""
    row = await store.lock(work, campaign_id, who)
    expected.check(row.version)
    row = await handlers.edit(work, who, row, changes_of(edit, _NULLABLE))
    set_etag(response, row.version)
    return shown_to(who, row, work.now)


@routes.post("/{campaign_id}/approve")
async def approve_campaign(
    campaign_id: UUID, work: WorkDep, who: Manager, response: Response
) -> AnyCampaignOut:
    """By staff. A refusal names every mandatory field that is missing."""
    row = await handlers.approve(work, who, await store.lock(work, campaign_id, who))
    set_etag(response, row.version)
    return shown_to(who, row, work.now)


@routes.post("/{campaign_id}/clone", status_code=201, idempotent=True)
async def clone_campaign(
    campaign_id: UUID, work: WorkDep, who: Manager, response: Response
) -> AnyCampaignOut:
    """A draft with the same brief."""
    row = await handlers.clone(work, who, await store.find(work, campaign_id, who))
    response.headers["Location"] = f"/v1/campaigns/{row.id}"
    set_etag(response, row.version)
    return shown_to(who, row, work.now)


@routes.post("/{campaign_id}/stop")
async def stop_campaign(campaign_id: UUID, work: WorkDep, who: Manager, response: Response) -> AnyCampaignOut:
    """The campaign ends at the end of today in its zone."""
    row = await handlers.stop(work, who, await store.lock(work, campaign_id, who))
    set_etag(response, row.version)
    return shown_to(who, row, work.now)


@routes.get("/{campaign_id}/status")
async def read_status(campaign_id: UUID, work: WorkDep, who: Viewer, response: Response) -> StatusOut:
    row = await store.find(work, campaign_id, who)
    set_etag(response, row.version)
    return StatusOut(status=store.status_of_row(row, work.now), at=work.now)
