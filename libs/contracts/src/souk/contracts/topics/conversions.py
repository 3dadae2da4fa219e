"""Orders credited to a participation, with their refunds."""

from typing import Literal
from uuid import UUID

from souk.contracts.money import Micros
from souk.contracts.state import Instant, Part, State
from souk.contracts.topic import Topic

ConversionVerdict = Literal["qualified", "unqualified"]


class OrderLine(Part):
    """A line of an order: the base of its commission is `net` less `refunded`.

    net: price times quantity less its discounts, without tax and shipping, micros.
    refunded: the part of `net` that was refunded so far, micros.
    """

    id: str
    net: Micros
    refunded: Micros = Micros(0)


class Conversion(State):
    """One order in one campaign, as it stands."""

    campaign_id: UUID
    participation_id: UUID | None = None
    influencer_id: UUID | None = None
    """None when no participation could be credited."""
    order_id: str
    source: Literal["shop", "postback", "pixel", "csv"]
    attribution: Literal["code", "click"] | None = None
    ordered_at: Instant
    currency: str
    lines: tuple[OrderLine, ...]
    verdict: ConversionVerdict
    reason: str | None = None
    """Of `souk.contracts.reasons`, when unqualified."""
    disputed: bool = False


CONVERSIONS = Topic(
    name="tracking.conversions.v1",
    owner="tracking",
    state=Conversion,
    events=("conversion.recorded", "conversion.refunded", "conversion.disputed", "conversion.changed"),
    readers=frozenset({"billing", "notify"}),
    data_class="internal",
    partition_by="campaign_id",
    description="Order values and refunds, credited to one participation each.",
)
