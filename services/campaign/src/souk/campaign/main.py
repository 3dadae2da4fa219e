"""The composition root of the campaign service, and its command line `souk-campaign`."""

from souk.campaign.api.campaigns import routes as campaign_routes
from souk.campaign.api.organisations import routes as organisation_routes
from souk.campaign.api.users import routes as user_routes
from souk.campaign.settings import CampaignSettings
from souk.campaign.store import campaigns, organisations, users
from souk.campaign.subscriptions import intake
from souk.chassis.commands import commands
from souk.chassis.process import Parts, Service
from souk.contracts.topics.campaigns import CAMPAIGNS
from souk.contracts.topics.organisations import ORGANISATIONS
from souk.contracts.topics.terms import TERMS
from souk.contracts.topics.users import USERS


def build(settings: CampaignSettings) -> Parts:
    return Parts(
        routers=[organisation_routes, user_routes, campaign_routes],
        intake=intake,
        republishers={
            ORGANISATIONS: organisations.after,
            USERS: users.after,
            CAMPAIGNS: campaigns.after,
            TERMS: campaigns.terms_after,
        },
        permissions_of=users.levels_of,
    )


SERVICE = Service("campaign", CampaignSettings, build)
main = commands(SERVICE)
