"""Every kind of notice, in one table: what it is about, and on which channels it goes out."""

from dataclasses import dataclass
from typing import Literal, get_args

from souk.contracts.topics.deliveries import Channel

Kind = Literal[
    "campaign.upcoming",
    "campaign.started",
    "campaign.over_budget",
    "campaign.finished",
    "participation.approved",
    "participation.rejected",
    "post.approved",
    "post.ineffective",
    "payment.made",
    "payment.paid",
    "payment.failed",
]
About = Literal["campaigns", "payments"]
Status = Literal["waiting", "pending", "sending", "sent", "failed", "suppressed", "unknown"]
"""Of a delivery. `waiting`: what it is about, or whom it goes to, isn't known here yet. The last four are
final, and published."""

KINDS: tuple[Kind, ...] = get_args(Kind)
CHANNELS: tuple[Channel, ...] = get_args(Channel)
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class Definition:
    """about: the influencer's switch turns off both; clients group by it."""

    about: About
    channels: tuple[Channel, ...] = ("in_app",)


DEFINITIONS: dict[Kind, Definition] = {
    "campaign.upcoming": Definition("campaigns"),
    "campaign.started": Definition("campaigns", ("email", "push", "in_app")),
    "campaign.over_budget": Definition("campaigns"),
    "campaign.finished": Definition("campaigns"),
    "participation.approved": Definition("campaigns"),
    "participation.rejected": Definition("campaigns"),
    "post.approved": Definition("campaigns"),
    "post.ineffective": Definition("campaigns"),
    "payment.made": Definition("payments"),
    "payment.paid": Definition("payments", ("email", "in_app")),
    "payment.failed": Definition("payments"),
}
