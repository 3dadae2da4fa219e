"""Payments to influencers."""

from datetime import date
from typing import Literal
from uuid import UUID

from souk.contracts.money import Micros
from souk.contracts.state import Instant, State
from souk.contracts.topic import Topic


class Payment(State):
    """One influencer's payment of one run in one currency, micros in whole minor units.

    net = gross - withholding + consumption_tax - fee.
    """

    influencer_id: UUID
    run: date
    currency: str
    gross: Micros
    withholding: Micros
    consumption_tax: Micros
    fee: Micros
    net: Micros
    status: Literal["reviewing", "paid", "failed"]
    paid_at: Instant | None = None
    failure: str | None = None


PAYMENTS = Topic(
    name="billing.payments.v1",
    owner="billing",
    state=Payment,
    events=("payment.made", "payment.paid", "payment.failed", "payment.corrected"),
    readers=frozenset({"campaign", "influencer", "tracking", "notify"}),
    data_class="internal",
    partition_by="id",
    description="Payments per influencer, currency and run, without bank data.",
)
