"""Which rows a caller reaches: a tenant's own, in SQL (domain.md §1)."""

from sqlalchemy import ColumnElement, exists, false, select, true

from souk.chassis.auth import Principal
from souk.influencer.store.tables import campaign, influencer, participation

HIDDEN = ("unavailable", "available")
"""States in which somebody has not acted: nothing that influencers or their agencies get to see."""


def own_influencers(who: Principal) -> ColumnElement[bool]:
    """Over `influencer`. Whoever pays sees those who acted in their campaigns."""
    match who.role:
        case "staff":
            return true()
        case "talent-agency":
            return influencer.c.talent_agency_id == who.organisation_id
        case "influencer":
            return influencer.c.id == who.influencer_id
        case "advertiser" | "agency":
            acted = exists().where(
                participation.c.influencer_id == influencer.c.id,
                participation.c.state.not_in(HIDDEN),
                participation.c.campaign_id.in_(select(campaign.c.id).where(own_campaigns(who))),
            )
            return acted.correlate(influencer)


def own_campaigns(who: Principal) -> ColumnElement[bool]:
    """Over `campaign`: of those who run campaigns. Influencers see theirs as offers alone.

    An agency's are those it works for, whoever works for the advertiser by now.
    """
    match who.role:
        case "staff":
            return true()
        case "advertiser":
            return campaign.c.advertiser_id == who.organisation_id
        case "agency":
            return campaign.c.agency_id == who.organisation_id
        case "talent-agency" | "influencer":
            return false()


def own_participations(who: Principal) -> ColumnElement[bool]:
    """Over `participation`."""
    match who.role:
        case "staff":
            return true()
        case "advertiser" | "agency":
            return participation.c.campaign_id.in_(select(campaign.c.id).where(own_campaigns(who)))
        case "talent-agency" | "influencer":
            own = select(influencer.c.id).where(own_influencers(who))
            return participation.c.influencer_id.in_(own) & participation.c.state.not_in(HIDDEN)
