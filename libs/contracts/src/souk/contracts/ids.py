"""Ids of the aggregates, and the ids that follow from others.

An id that can be derived is derived (UUID version 5), so that a retry, a replay or a second
worker names the same thing the same way.
"""

from datetime import date
from typing import NewType
from uuid import UUID, uuid5

OrganisationId = NewType("OrganisationId", UUID)
UserId = NewType("UserId", UUID)
CampaignId = NewType("CampaignId", UUID)
InfluencerId = NewType("InfluencerId", UUID)
ParticipationId = NewType("ParticipationId", UUID)
AccountId = NewType("AccountId", UUID)
PostId = NewType("PostId", UUID)
LinkId = NewType("LinkId", UUID)
ConversionId = NewType("ConversionId", UUID)
PaymentId = NewType("PaymentId", UUID)
AnnouncementId = NewType("AnnouncementId", UUID)

NAMESPACE = UUID("6d0c6b6e-3f3b-5c55-9d0b-5a1f3b9d7c11")


def participation_id(campaign: CampaignId, influencer: InfluencerId) -> ParticipationId:
    """One influencer takes part in a campaign at most once."""
    return ParticipationId(uuid5(NAMESPACE, f"participation:{campaign}:{influencer}"))


def link_id(participation: ParticipationId) -> LinkId:
    """A participation has one tracking link."""
    return LinkId(uuid5(NAMESPACE, f"link:{participation}"))


def post_id(campaign: CampaignId, platform: str, external_id: str) -> PostId:
    """The same content in two campaigns is two posts."""
    return PostId(uuid5(NAMESPACE, f"post:{campaign}:{platform}:{external_id}"))


def conversion_id(campaign: CampaignId, order_id: str) -> ConversionId:
    """One order is at most one conversion per campaign (domain.md §5)."""
    return ConversionId(uuid5(NAMESPACE, f"conversion:{campaign}:{order_id}"))


def payment_id(run: date, influencer: InfluencerId, currency: str) -> PaymentId:
    """One payment per influencer and currency a run (domain.md §6)."""
    return PaymentId(uuid5(NAMESPACE, f"payment:{run.isoformat()}:{influencer}:{currency}"))


def announcement_id(occasion: str, subject: str, part: int) -> AnnouncementId:
    """`subject` is the campaign for `upcoming`, the Bangkok date for `started`."""
    return AnnouncementId(uuid5(NAMESPACE, f"announcement:{occasion}:{subject}:{part}"))
