"""Which rows a caller reaches, as SQL (domain.md §1). A foreign id answers as an unknown one."""

from typing import Any

from sqlalchemy import ColumnElement, false, select, true

from souk.chassis.auth import Principal
from souk.tracking.store.tables import account, campaign, influencer, participation


def own_campaign(who: Principal) -> ColumnElement[bool]:
    """On `campaign`: staff all, an advertiser its own, an agency those it works for, others none.

    An agency keeps its campaigns when the advertiser goes to another.
    """
    match who.role:
        case "staff":
            return true()
        case "advertiser":
            return campaign.c.advertiser_id == who.organisation_id
        case "agency":
            return campaign.c.agency_id == who.organisation_id
        case _:
            return false()


def own_influencer(who: Principal, influencer_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Staff all, a talent agency its influencers, an influencer itself, others none."""
    match who.role:
        case "staff":
            return true()
        case "talent-agency":
            talents = select(influencer.c.id).where(influencer.c.talent_agency_id == who.organisation_id)
            return influencer_id.in_(talents)
        case "influencer":
            return influencer_id == who.influencer_id
        case _:
            return false()


def reaches(who: Principal, table: Any) -> ColumnElement[bool]:
    """On a table with `campaign_id` and `influencer_id`: by the campaign or by the influencer."""
    if who.role == "staff":
        return true()
    if who.role in ("advertiser", "agency"):
        column: ColumnElement[Any] = table.c.campaign_id
        return column.in_(select(campaign.c.id).where(own_campaign(who)))
    return own_influencer(who, table.c.influencer_id)


def reaches_account(who: Principal) -> ColumnElement[bool]:
    """Advertisers and agencies see the accounts that take part in their campaigns."""
    if who.role in ("advertiser", "agency"):
        takes_part = (
            select(participation.c.account_id)
            .join_from(participation, campaign, campaign.c.id == participation.c.campaign_id)
            .where(own_campaign(who), participation.c.state.in_(("joined", "withdrawn")))
        )
        return account.c.id.in_(takes_part)
    return own_influencer(who, account.c.influencer_id)
