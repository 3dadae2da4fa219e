"""`/v1/conversions`: orders credited to participations, and disputes about them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Row, select

from souk.chassis.amount import Amount
from souk.chassis.auth import Principal, allowed
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.chassis.problems import Refused
from souk.chassis.work import Work
from souk.contracts.reasons import Reason
from souk.contracts.topics.conversions import ConversionVerdict
from souk.tracking.api.clicks import VerdictCounts, expect_campaign
from souk.tracking.api.tenants import reaches
from souk.tracking.handlers import conversions as handlers
from souk.tracking.store import conversions as store
from souk.tracking.store.tables import conversion

routes = Routes(prefix="/v1/conversions", tags=["conversions"])
Viewer = Annotated[Principal, allowed("conversion", "view")]
Manager = Annotated[Principal, allowed("conversion", "manage")]


class LineOut(BaseModel):
    id: str
    net: Amount
    refunded: Amount


class ConversionOut(BaseModel):
    id: UUID
    version: int
    campaign_id: UUID
    participation_id: UUID | None
    influencer_id: UUID | None
    order_id: str
    source: str
    attribution: Literal["code", "click"] | None
    ordered_at: datetime
    currency: str
    lines: list[LineOut]
    verdict: ConversionVerdict
    reason: str | None
    disputed: bool

    @classmethod
    def of(cls, row: Any) -> "ConversionOut":
        return cls.model_validate(store.conversion_state(row), from_attributes=True)


@routes.get("")
async def list_conversions(
    *,
    work: WorkDep,
    who: Viewer,
    cursor: CursorDep,
    campaign_id: UUID | None = None,
    participation_id: UUID | None = None,
    influencer_id: UUID | None = None,
    verdict: ConversionVerdict | None = None,
) -> Page[ConversionOut]:
    query = select(conversion).where(conversion.c.version > 0, reaches(who, conversion))
    for column, value in (
        (conversion.c.campaign_id, campaign_id),
        (conversion.c.participation_id, participation_id),
        (conversion.c.influencer_id, influencer_id),
        (conversion.c.verdict, verdict),
    ):
        if value is not None:
            query = query.where(column == value)
    rows = await work.fetch_all(cursor.over(query, conversion.c.ordered_at, conversion.c.id))
    return cursor.page(rows, ConversionOut.of, keys=lambda row: (row.ordered_at, row.id))


@routes.get("/summary")
async def count_conversions(campaign_id: UUID, work: WorkDep, who: Viewer) -> VerdictCounts:
    """Conversions of a campaign: `qualified`, and the others by their reason."""
    await expect_campaign(work, who, campaign_id)
    counts = await store.count_by_verdict(work, campaign_id, reaches(who, conversion))
    return VerdictCounts(campaign_id=campaign_id, verdicts=counts)


@routes.get("/{conversion_id}")
async def read_conversion(conversion_id: UUID, work: WorkDep, who: Viewer) -> ConversionOut:
    return ConversionOut.of(await _find(work, conversion_id, who))


@routes.post("/{conversion_id}/dispute")
async def dispute_conversion(conversion_id: UUID, work: WorkDep, who: Manager) -> ConversionOut:
    """Its earning is not approved until the dispute is settled."""
    return ConversionOut.of(
        await handlers.dispute(work, await _find(work, conversion_id, who), disputed=True)
    )


@routes.post("/{conversion_id}/settle")
async def settle_conversion(conversion_id: UUID, work: WorkDep, who: Manager) -> ConversionOut:
    return ConversionOut.of(
        await handlers.dispute(work, await _find(work, conversion_id, who), disputed=False)
    )


async def _find(work: Work, conversion_id: UUID, who: Principal) -> Row[Any]:
    row = await work.fetch_one(
        select(conversion).where(
            conversion.c.id == conversion_id, conversion.c.version > 0, reaches(who, conversion)
        )
    )
    if row is None:
        raise Refused(Reason.UNKNOWN_CONVERSION)
    return row
