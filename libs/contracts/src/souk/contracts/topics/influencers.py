"""Influencers as everyone may know them."""

from uuid import UUID

from souk.contracts.state import Instant, State
from souk.contracts.topic import Topic


class Influencer(State):
    """A public profile. Gender, birth date, addresses and bank details are not here."""

    display_name: str
    country: str | None = None
    region: str | None = None
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    talent_agency_id: UUID | None = None
    signed_up_at: Instant
    erased: bool = False
    """After erasure the state stays, without its data, so that readers forget it too."""


INFLUENCERS = Topic(
    name="influencer.influencers.v1",
    owner="influencer",
    state=Influencer,
    events=("influencer.signed_up", "influencer.changed", "influencer.erased"),
    readers=frozenset({"tracking", "billing", "notify"}),
    data_class="public",
    partition_by="id",
    description="Public profiles of influencers.",
)
