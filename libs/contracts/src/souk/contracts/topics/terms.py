"""What the platform and the agency add: known to billing alone."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from souk.contracts.money import BasisPoints
from souk.contracts.state import State, classed
from souk.contracts.topic import Topic

Margin = Annotated[BasisPoints, Field(ge=0, lt=10_000)]


class Terms(State):
    """Margins of the campaign with this id, on price (domain.md §6)."""

    agency_id: UUID | None = None
    margin: Margin = classed("secret", default=BasisPoints(3_300))
    agency_margin: Margin = classed("secret", default=BasisPoints(0))


TERMS = Topic(
    name="campaign.terms.private.v1",
    owner="campaign",
    state=Terms,
    events=("terms.set",),
    readers=frozenset({"billing"}),
    data_class="private",
    partition_by="id",
    description="Margins of a campaign.",
)
