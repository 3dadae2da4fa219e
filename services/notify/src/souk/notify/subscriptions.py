"""Topics → handlers; nothing is decided here."""

from collections.abc import Sequence

from souk.chassis.intake import Intake
from souk.chassis.work import Work
from souk.contracts.topics.announcements import ANNOUNCEMENTS, Announcement
from souk.contracts.topics.budgets import BUDGETS, Budget
from souk.contracts.topics.campaigns import CAMPAIGNS, Campaign
from souk.contracts.topics.contacts import CONTACTS, Contact
from souk.contracts.topics.influencers import INFLUENCERS, Influencer
from souk.contracts.topics.participations import PARTICIPATIONS, Participation
from souk.contracts.topics.payments import PAYMENTS, Payment
from souk.contracts.topics.posts import POSTS, Post
from souk.contracts.topics.users import USERS, User
from souk.notify.handlers import announcements, campaigns, contacts, participations, payments, posts
from souk.notify.store import copies, tables

intake = Intake("notify")


@intake.reads(CONTACTS, copy=tables.contact)
async def contacts_changed(work: Work, states: Sequence[Contact]) -> None:
    await contacts.keep_contacts(work, states)


@intake.reads(INFLUENCERS, copy=tables.influencer)
async def influencers_changed(work: Work, states: Sequence[Influencer]) -> None:
    await copies.store_influencers(work, states)


@intake.reads(CAMPAIGNS, copy=tables.campaign)
async def campaigns_changed(work: Work, states: Sequence[Campaign]) -> None:
    await campaigns.keep_campaigns(work, states)


@intake.reads(BUDGETS)
async def budgets_changed(work: Work, states: Sequence[Budget]) -> None:
    await campaigns.keep_budgets(work, states)


@intake.reads(PARTICIPATIONS, copy=tables.participation)
async def participations_changed(work: Work, states: Sequence[Participation]) -> None:
    await participations.keep_participations(work, states)


@intake.reads(POSTS, copy=tables.post)
async def posts_changed(work: Work, states: Sequence[Post]) -> None:
    await posts.keep_posts(work, states)


@intake.reads(PAYMENTS, copy=tables.payment)
async def payments_changed(work: Work, states: Sequence[Payment]) -> None:
    await payments.keep_payments(work, states)


@intake.reads(ANNOUNCEMENTS)
async def announcements_made(work: Work, states: Sequence[Announcement]) -> None:
    await announcements.receive(work, states)


@intake.reads(USERS, copy=tables.user_level)
async def users_changed(work: Work, states: Sequence[User]) -> None:
    await copies.store_users(work, states)
