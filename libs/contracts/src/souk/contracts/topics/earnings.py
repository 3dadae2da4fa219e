"""What a participation has earned."""

from uuid import UUID

from souk.contracts.money import Micros
from souk.contracts.state import Part, State
from souk.contracts.topic import Topic


class Reinstatement(Part):
    """Billing's answer to a post that asked to be effective again at `post_version`."""

    post_id: UUID
    post_version: int
    granted: bool


class Earning(State):
    """Money of the participation with this id, micros of the campaign's currency.

    worth = revenue + capped + refused, at every version.
    """

    campaign_id: UUID
    influencer_id: UUID
    currency: str
    worth: Micros
    revenue: Micros
    """Earned so far, never above the cap."""
    capped: Micros
    refused: Micros
    approved: Micros
    """The part of `revenue` that belongs to approved items."""
    reinstated: tuple[Reinstatement, ...] = ()


EARNINGS = Topic(
    name="billing.earnings.v1",
    owner="billing",
    state=Earning,
    events=("earning.accrued", "earning.approved", "earning.changed"),
    readers=frozenset({"campaign", "influencer", "tracking", "notify"}),
    data_class="internal",
    partition_by="campaign_id",
    description="Earnings per participation.",
)
