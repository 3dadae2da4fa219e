"""The composition root of the influencer service."""

from souk.chassis.commands import commands
from souk.chassis.process import Parts, Service
from souk.contracts.topics.announcements import ANNOUNCEMENTS
from souk.contracts.topics.contacts import CONTACTS
from souk.contracts.topics.influencers import INFLUENCERS
from souk.contracts.topics.participations import PARTICIPATIONS
from souk.contracts.topics.payees import PAYEES
from souk.influencer.api import codes, eligibility, influencers, offers, participations, selections
from souk.influencer.settings import InfluencerSettings
from souk.influencer.store import announcements as announcement_store
from souk.influencer.store import copies
from souk.influencer.store import influencers as influencer_store
from souk.influencer.store import participations as participation_store
from souk.influencer.subscriptions import intake
from souk.influencer.timers import timers


def build(_: InfluencerSettings) -> Parts:
    return Parts(
        routers=(
            influencers.routes,
            selections.routes,
            offers.routes,
            participations.routes,
            codes.routes,
            eligibility.routes,
        ),
        intake=intake,
        timers=timers,
        republishers={
            INFLUENCERS: influencer_store.influencers_after,
            CONTACTS: influencer_store.contacts_after,
            PAYEES: influencer_store.payees_after,
            PARTICIPATIONS: participation_store.after,
            ANNOUNCEMENTS: announcement_store.after,
        },
        permissions_of=copies.levels_of,
    )


SERVICE = Service("influencer", InfluencerSettings, build)
main = commands(SERVICE)
