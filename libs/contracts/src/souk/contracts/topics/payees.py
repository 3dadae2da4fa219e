"""Who is paid, and how: known to billing alone."""

from typing import Literal

from souk.contracts.state import State, classed
from souk.contracts.topic import Topic


class Payee(State):
    """Payout and tax details of the influencer with this id."""

    country: str | None = None
    """Of taxation, ISO 3166-1 alpha-2: picks withholding, consumption tax, fee and minimum."""
    payment_mode: Literal["request", "automatic"] = "request"
    legal_name: str | None = classed("personal", default=None)
    bank_account: str | None = classed("secret", default=None)
    tax_id: str | None = classed("secret", default=None)
    consumption_tax_registered: bool = False
    erased: bool = False


PAYEES = Topic(
    name="influencer.payees.private.v1",
    owner="influencer",
    state=Payee,
    events=("payee.set", "payee.erased"),
    readers=frozenset({"billing"}),
    data_class="private",
    partition_by="id",
    description="Bank and tax details of an influencer.",
)
