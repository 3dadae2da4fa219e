"""Budgets: what a campaign has used of it."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel
from sqlalchemy import Row, func, select

from souk.billing.domain.margin import WHOLE, agency_price
from souk.billing.store.tables import account, participation
from souk.billing.store.tenants import of_campaign
from souk.chassis.amount import Amount
from souk.chassis.auth import Principal, allowed
from souk.chassis.etag import set_etag
from souk.chassis.http import Routes, WorkDep
from souk.chassis.problems import Refused
from souk.contracts.reasons import Reason

routes = Routes(prefix="/v1/budgets", tags=["budgets"])
Viewer = Annotated[Principal, allowed("campaign", "view")]


class BudgetOut(BaseModel):
    """What the advertiser pays. revenue, margin: staff alone. agency_*: staff and the agency."""

    campaign_id: UUID
    currency: str
    budget: Amount
    budget_version: int
    cost: Amount
    peak_cost: Amount
    remaining: Amount
    status: Literal["open", "exhausted"]
    exhausted_at: datetime | None
    settled_at: datetime | None
    revenue: Amount | None = None
    margin: Amount | None = None
    margin_rate: int | None = None
    agency_price: Amount | None = None
    agency_margin: Amount | None = None
    agency_margin_rate: int | None = None


@routes.get("/{campaign_id}", response_model_exclude_unset=True)
async def get_budget(campaign_id: UUID, work: WorkDep, who: Viewer, response: Response) -> BudgetOut:
    """Rates are in basis points."""
    row = await work.fetch_one(
        select(account).where(
            account.c.id == campaign_id, account.c.version > 0, of_campaign(who, account.c.id)
        )
    )
    if row is None:
        raise Refused(Reason.UNKNOWN_CAMPAIGN)
    set_etag(response, row.version)
    shown: dict[str, Any] = {}
    if who.role == "staff":
        shown |= {"revenue": row.revenue, "margin": row.consumed - row.revenue, "margin_rate": row.margin}
    if who.role in ("staff", "agency"):
        price = await _agency_price(work, row)
        shown |= {
            "agency_price": price,
            "agency_margin": price - row.consumed,
            "agency_margin_rate": row.agency_margin,
        }
    return BudgetOut(
        campaign_id=row.id,
        currency=row.currency,
        budget=row.budget,
        budget_version=row.budget_version,
        cost=row.consumed,
        peak_cost=row.peak_cost,
        remaining=row.budget - row.consumed,
        status="exhausted" if row.exhausted else "open",
        exhausted_at=row.exhausted_at,
        settled_at=row.settled_at,
        **shown,
    )


async def _agency_price(work: WorkDep, row: Row[Any]) -> int:
    """The agency's own price: its margin on top of each participation's cost, rounded up like ours."""
    if row.agency_margin == 0:
        return int(agency_price(row.consumed, row.agency_margin))
    left = WHOLE - row.agency_margin
    price = func.coalesce(func.sum(func.div(participation.c.cost * WHOLE + left - 1, left)), 0)
    return int(await work.scalar(select(price).where(participation.c.campaign_id == row.id)))
