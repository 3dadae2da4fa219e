"""Who is told of which campaigns, decided by the service that knows the filters."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from souk.contracts.state import Part, State
from souk.contracts.topic import KEPT_30_DAYS, Topic


class Recipient(Part):
    """An influencer, and the campaigns that match."""

    influencer_id: UUID
    campaign_ids: tuple[UUID, ...]


class Announcement(State):
    """One part of an announcement; it never changes, its version is 1.

    `upcoming`: a campaign was approved. `started`: the campaigns that start on a Bangkok date,
    decided at 01:00 UTC (domain.md §7).
    """

    occasion: Literal["upcoming", "started"]
    day: date
    """The Bangkok date."""
    part: Annotated[int, Field(ge=1)]
    parts: Annotated[int, Field(ge=1)]
    recipients: Annotated[tuple[Recipient, ...], Field(max_length=500)]


ANNOUNCEMENTS = Topic(
    name="influencer.announcements.v1",
    owner="influencer",
    state=Announcement,
    events=("announcement.made",),
    readers=frozenset({"notify"}),
    data_class="internal",
    partition_by="id",
    description="Who is announced which campaigns, in parts of at most 500 recipients.",
    config=KEPT_30_DAYS,
)
