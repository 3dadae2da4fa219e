"""Billing's topics filled again from what it stores, each key's last record its newest state."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from souk.billing.handlers.batch import budget_state
from souk.billing.handlers.payments import payment_state
from souk.billing.store import accounts, payments
from souk.chassis.work import Work
from souk.contracts.topics.budgets import Budget
from souk.contracts.topics.earnings import Earning, Reinstatement
from souk.contracts.topics.payments import Payment


async def budgets(work: Work, after: UUID | None, limit: int) -> Sequence[Budget]:
    return [budget_state(row._mapping) for row in await accounts.page_of_accounts(work, after, limit)]


async def earnings(work: Work, after: UUID | None, limit: int) -> Sequence[Earning]:
    return [_earning(row) for row in await accounts.page_of_participations(work, after, limit)]


async def payments_made(work: Work, after: UUID | None, limit: int) -> Sequence[Payment]:
    return [payment_state(row) for row in await payments.page(work, after, limit)]


def _earning(row: Row[Any]) -> Earning:
    return Earning(
        id=row.id,
        version=row.version,
        changed_at=row.changed_at,
        campaign_id=row.campaign_id,
        influencer_id=row.influencer_id,
        currency=row.currency,
        worth=row.worth,
        revenue=row.revenue,
        capped=row.capped,
        refused=row.refused,
        approved=row.approved,
        reinstated=tuple(
            Reinstatement(post_id=UUID(post), post_version=version, granted=granted)
            for post, version, granted in row.reinstated
        ),
    )
