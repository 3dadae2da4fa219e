"""Which rows a caller reaches; part of every query, never of the code around it (domain.md §1)."""

from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, false, literal, select, true

from souk.billing.store.tables import account, influencer
from souk.chassis.auth import Principal


def of_campaign(who: Principal, campaign_id: ColumnElement[UUID]) -> ColumnElement[bool]:
    """Rows of campaigns: staff all, an advertiser its own, an agency those that it works for.

    A campaign keeps its agency when the advertiser goes to another.
    """
    if who.role == "staff":
        return true()
    if who.role == "advertiser":
        mine = select(account.c.id).where(account.c.advertiser_id == literal(who.organisation_id, Uuid))
        return campaign_id.in_(mine)
    if who.role == "agency":
        mine = select(account.c.id).where(account.c.agency_id == literal(who.organisation_id, Uuid))
        return campaign_id.in_(mine)
    return false()


def of_influencer(who: Principal, influencer_id: ColumnElement[UUID]) -> ColumnElement[bool]:
    """Rows of influencers: staff all, an influencer its own, a talent agency those of its influencers."""
    if who.role == "staff":
        return true()
    if who.role == "influencer":
        return influencer_id == literal(who.influencer_id, Uuid)
    if who.role == "talent-agency":
        mine = select(influencer.c.id).where(
            influencer.c.talent_agency_id == literal(who.organisation_id, Uuid)
        )
        return influencer_id.in_(mine)
    return false()


def of_either(
    who: Principal, campaign_id: ColumnElement[UUID], influencer_id: ColumnElement[UUID]
) -> ColumnElement[bool]:
    return of_campaign(who, campaign_id) | of_influencer(who, influencer_id)
