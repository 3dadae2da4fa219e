"""The copy of a campaign as decisions need it: with billing's verdict."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, literal, select
from sqlalchemy.dialects.postgresql import insert

from souk.chassis.auth import Principal
from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.ids import CampaignId
from souk.contracts.topics.campaigns import Audience
from souk.influencer.domain.eligibility import Brief
from souk.influencer.domain.status import Status, is_exhausted, status_at
from souk.influencer.store.tables import budget, campaign
from souk.influencer.store.tenants import own_campaigns

_VERDICT = (budget.c.budget_version.label("judged_version"), budget.c.status.label("verdict"))


def with_verdict(*more: ColumnElement[Any]) -> Select[Any]:
    return select(campaign, *_VERDICT, *more).outerjoin_from(campaign, budget, budget.c.id == campaign.c.id)


async def find(work: Work, campaign_id: UUID, who: Principal | None = None) -> Row[Any] | None:
    """None when unknown or, with `who`, not run by the caller."""
    query = with_verdict().where(campaign.c.id == campaign_id)
    return await work.fetch_one(query if who is None else query.where(own_campaigns(who)))


async def hold(work: Work, ids: Collection[UUID]) -> dict[CampaignId, Row[Any]]:
    """Campaigns whose state and verdict can't change until the unit commits (share locks).

    So what a joiner was let in on is what is known when the join commits (domain.md §3). A verdict that isn't
    here yet gets a placeholder, for the first one may be that the budget is exhausted.
    """
    known = select(campaign.c.id).where(among(campaign.c.id, ids)).order_by(campaign.c.id)
    await work.execute(known.with_for_update(read=True))
    await work.execute(
        insert(budget)
        .from_select(
            ["id", "version", "budget_version", "status"],
            known.add_columns(literal(0), literal(0), literal("open")),
        )
        .on_conflict_do_nothing()
    )
    await work.execute(
        select(budget.c.id).where(among(budget.c.id, ids)).order_by(budget.c.id).with_for_update(read=True)
    )
    rows = await work.fetch_all(with_verdict().where(among(campaign.c.id, ids)))
    return {CampaignId(row.id): row for row in rows}


def status_of(row: Row[Any], now: datetime) -> Status:
    """row: of `with_verdict`."""
    exhausted = is_exhausted(row.budget_version, row.judged_version, row.verdict)
    return status_at(now, row.lifecycle, row.starts_at, row.ends_at, exhausted=exhausted)


def brief_of(row: Row[Any]) -> Brief:
    visibility: Literal["normal", "closed"] = row.visibility
    return Brief(audience_of(row), visibility, row.created_at)


def audience_of(row: Row[Any]) -> Audience:
    return Audience(
        platforms=tuple(row.platforms),
        connections=tuple(row.connections),
        regions=tuple(row.regions),
        categories=tuple(row.categories),
        genders=tuple(row.genders),
        age_min=row.age_min,
        age_max=row.age_max,
        followers_min=row.followers_min,
        followers_max=row.followers_max,
    )
