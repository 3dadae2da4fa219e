"""What was sent to whom, by ids, with what result."""

from typing import Literal
from uuid import UUID

from souk.contracts.state import State
from souk.contracts.topic import KEPT_30_DAYS, Topic

Channel = Literal["email", "push", "in_app"]


class Delivery(State):
    """One message to one influencer on one channel.

    `unknown`: the process ended between handing it over and noting the answer; it isn't sent again.
    """

    influencer_id: UUID
    channel: Channel
    kind: str
    """What it told: `campaign.started`, `post.approved`, `payment.paid` …"""
    subject_ids: tuple[UUID, ...]
    status: Literal["sent", "failed", "suppressed", "unknown"]
    detail: str | None = None


DELIVERIES = Topic(
    name="notify.deliveries.v1",
    owner="notify",
    state=Delivery,
    events=("delivery.sent", "delivery.failed", "delivery.suppressed", "delivery.unknown"),
    readers=frozenset(),
    data_class="internal",
    partition_by="influencer_id",
    description="What was sent to whom, with what result.",
    config=KEPT_30_DAYS,
)
