"""Billing's topics filled again from what it stores, each key's last record its newest state."""

from collections.abc import Sequence
from uuid import UUID

from souk.billing.handlers.batch import budget_state, earning_state
from souk.billing.handlers.payments import payment_state
from souk.billing.store import accounts, payments
from souk.billing.store.books import participation_of
from souk.chassis.work import Work
from souk.contracts.topics.budgets import Budget
from souk.contracts.topics.earnings import Earning
from souk.contracts.topics.payments import Payment


async def budgets(work: Work, after: UUID | None, limit: int) -> Sequence[Budget]:
    return [budget_state(row._mapping) for row in await accounts.page_of_accounts(work, after, limit)]


async def earnings(work: Work, after: UUID | None, limit: int) -> Sequence[Earning]:
    return [
        earning_state(participation_of(row), row.currency, row.changed_at)
        for row in await accounts.page_of_participations(work, after, limit)
    ]


async def payments_made(work: Work, after: UUID | None, limit: int) -> Sequence[Payment]:
    return [payment_state(row) for row in await payments.page(work, after, limit)]
