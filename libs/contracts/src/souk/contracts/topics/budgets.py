"""How much of a campaign's budget is used."""

from typing import Literal
from uuid import UUID

from souk.contracts.money import Micros
from souk.contracts.state import Instant, State
from souk.contracts.topic import Topic
from souk.contracts.topics.campaigns import Count


class Budget(State):
    """Consumption of the campaign with this id.

    `exhausted` speaks of `budget_version`: whoever knows a newer version ignores it.
    """

    campaign_id: UUID
    currency: str
    budget: Micros
    budget_version: Count
    consumed: Micros
    """Cost of effective, warned and approved items; never above `budget`."""
    status: Literal["open", "exhausted"]
    exhausted_at: Instant | None = None


BUDGETS = Topic(
    name="billing.budgets.v1",
    owner="billing",
    state=Budget,
    events=("budget.opened", "budget.consumed", "budget.exhausted", "budget.reopened"),
    readers=frozenset({"campaign", "influencer", "tracking", "notify"}),
    data_class="internal",
    partition_by="campaign_id",
    description="Consumption of budgets; next to earnings it tells margins, so it is not public.",
)
