"""What was sent to whom, for staff."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel

from souk.chassis.auth import Principal, allowed
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.chassis.problems import Refused
from souk.contracts.reasons import Reason
from souk.contracts.topics.deliveries import Channel
from souk.notify.domain.definitions import CHANNELS, Kind, Status
from souk.notify.store import deliveries
from souk.notify.store.tables import delivery

routes = Routes(prefix="/v1/deliveries", tags=["deliveries"])
Viewer = Annotated[Principal, allowed("notification", "view")]


class DeliveryOut(BaseModel):
    """detail: why it failed or was held back, or what the last attempt was answered."""

    id: UUID
    influencer_id: UUID
    channel: Channel
    kind: Kind
    subject_ids: list[UUID]
    campaign_ids: list[UUID]
    status: Status
    detail: str | None
    attempts: int
    made_at: datetime
    changed_at: datetime

    @classmethod
    def of_row(cls, row: Any) -> "DeliveryOut":
        return cls.model_validate(row, from_attributes=True)


async def _filter(
    influencer_id: UUID | None = None,
    campaign_id: Annotated[UUID | None, Query(description="among the campaigns that it tells of")] = None,
    kind: Kind | None = None,
    channel: Channel | None = None,
    status: Status | None = None,
) -> deliveries.Filter:
    return deliveries.Filter(influencer_id, campaign_id, kind, channel, status)


async def staff(who: Viewer) -> None:
    """Deliveries of everyone: the influencers' own level doesn't reach them."""
    if who.role != "staff":
        raise Refused(Reason.FORBIDDEN, area="notification", level="view")


FilterDep = Annotated[deliveries.Filter, Depends(_filter)]


@routes.get("", dependencies=[Depends(staff)])
async def list_deliveries(work: WorkDep, cursor: CursorDep, which: FilterDep) -> Page[DeliveryOut]:
    """Newest first."""
    rows = await work.fetch_all(
        cursor.over(deliveries.found(which), delivery.c.made_at, delivery.c.id, descending=True)
    )
    return cursor.page(rows, DeliveryOut.of_row, keys=lambda row: (row.made_at, row.id))


@routes.get("/summary", dependencies=[Depends(staff)])
async def summarise_deliveries(work: WorkDep, which: FilterDep) -> dict[Channel, dict[Status, int]]:
    """How many there are by channel and status; a status that none has is left out."""
    summary: dict[Channel, dict[Status, int]] = {channel: {} for channel in CHANNELS}
    for row in await work.fetch_all(deliveries.counted(which)):
        summary[row.channel][row.status] = row.deliveries
    return summary
