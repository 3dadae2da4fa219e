"""What the influencer service reads of others."""

from collections.abc import Sequence

from souk.chassis.intake import Intake
from souk.chassis.work import Work
from souk.contracts.topics.accounts import ACCOUNTS, Account
from souk.contracts.topics.budgets import BUDGETS, Budget
from souk.contracts.topics.campaigns import CAMPAIGNS, Campaign
from souk.contracts.topics.organisations import ORGANISATIONS, Organisation
from souk.contracts.topics.users import USERS, User
from souk.influencer.handlers import campaigns
from souk.influencer.store import copies, tables

intake = Intake("influencer")


@intake.reads(ORGANISATIONS, copy=tables.organisation)
async def organisations_changed(work: Work, organisations: Sequence[Organisation]) -> None:
    await copies.keep_organisations(work, organisations)


@intake.reads(USERS, copy=tables.user_levels)
async def users_changed(work: Work, users: Sequence[User]) -> None:
    await copies.keep_users(work, users)


@intake.reads(CAMPAIGNS, copy=tables.campaign)
async def campaigns_changed(work: Work, states: Sequence[Campaign]) -> None:
    await campaigns.keep(work, states)


@intake.reads(BUDGETS, copy=tables.budget)
async def budgets_changed(work: Work, budgets: Sequence[Budget]) -> None:
    await copies.keep_budgets(work, budgets)


@intake.reads(ACCOUNTS, copy=tables.account)
async def accounts_changed(work: Work, accounts: Sequence[Account]) -> None:
    await copies.keep_accounts(work, accounts)
