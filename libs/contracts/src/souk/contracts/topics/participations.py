"""Who takes part in what."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from souk.contracts.money import BasisPoints
from souk.contracts.state import Instant, State
from souk.contracts.topic import Topic
from souk.contracts.topics.campaigns import Count, Platform

ParticipationState = Literal[
    "unavailable", "available", "waiting", "applied", "reviewing", "rejected", "joined", "withdrawn"
]


class Participation(State):
    """One influencer in one campaign. Only those who acted or were deselected have one."""

    campaign_id: UUID
    influencer_id: UUID
    state: ParticipationState
    platform: Platform | None = None
    account_id: UUID | None = None
    applied_at: Instant | None = None
    joined_at: Instant | None = None
    withdrawn_at: Instant | None = None
    referral_code: str | None = None
    commission: Annotated[BasisPoints, Field(ge=0, le=10_000)] | None = None
    """Overrides the campaign's commission rate for this creator (ecommerce)."""
    followers_base: Count | None = None
    """Followers at the campaign's start, or at joining if later; stored once, None until then."""


PARTICIPATIONS = Topic(
    name="influencer.participations.v1",
    owner="influencer",
    state=Participation,
    events=(
        "participation.deselected",
        "participation.reselected",
        "participation.waiting",
        "participation.applied",
        "participation.reviewing",
        "participation.rejected",
        "participation.joined",
        "participation.withdrawn",
        "participation.changed",
    ),
    readers=frozenset({"tracking", "billing", "notify"}),
    data_class="internal",
    partition_by="campaign_id",
    description="Who takes part, with which account, state, referral code and commission.",
)
