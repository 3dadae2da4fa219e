"""Tenants: who may be spoken for."""

from typing import Literal
from uuid import UUID

from souk.contracts.state import State
from souk.contracts.topic import SERVICES, Topic

OrganisationKind = Literal["platform", "agency", "advertiser", "talent-agency"]


class Organisation(State):
    """A tenant. Users belong to one; a tenant reaches only its own rows."""

    kind: OrganisationKind
    name: str
    country: str
    """ISO 3166-1 alpha-2."""
    agency_id: UUID | None = None
    """The agency that works for this advertiser."""
    active: bool = True


ORGANISATIONS = Topic(
    name="campaign.organisations.v1",
    owner="campaign",
    state=Organisation,
    events=("organisation.created", "organisation.changed"),
    readers=frozenset(SERVICES),
    data_class="public",
    partition_by="id",
    description="Platform, agencies, advertisers and talent agencies.",
)
