"""Campaigns as one influencer may see them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, or_

from souk.influencer.domain.eligibility import Profile
from souk.influencer.store.campaigns import with_verdict
from souk.influencer.store.eligibility import campaigns_for
from souk.influencer.store.tables import campaign, participation
from souk.influencer.store.tenants import HIDDEN

ORDER: tuple[ColumnElement[Any], ...] = (
    func.coalesce(campaign.c.starts_at, campaign.c.created_at),
    campaign.c.id,
)


def offered(influencer_id: UUID, profile: Profile, now: datetime) -> Select[Any]:
    """Approved, not finished, and: matching and not deselected, or taking part already."""
    own = and_(participation.c.campaign_id == campaign.c.id, participation.c.influencer_id == influencer_id)
    return (
        with_verdict(
            func.coalesce(participation.c.state, "available").label("state"), ORDER[0].label("sort_key")
        )
        .outerjoin(participation, own)
        .where(
            campaign.c.lifecycle == "approved",
            campaign.c.ends_at > now,
            or_(
                participation.c.state.not_in(HIDDEN),
                and_(
                    func.coalesce(participation.c.state, "available") == "available",
                    campaigns_for(influencer_id, profile, now.date()),
                ),
            ),
        )
    )
