"""The composition root of the billing service, and its command line `souk-billing`."""

from souk.billing.api import budgets, earnings, payments, postings
from souk.billing.handlers import republishing
from souk.billing.settings import BillingSettings
from souk.billing.store.copies import permissions_of
from souk.billing.subscriptions import intake
from souk.billing.timers import keep_runs_scheduled, timers
from souk.chassis.commands import commands
from souk.chassis.process import Parts, Service
from souk.contracts.topics.budgets import BUDGETS
from souk.contracts.topics.earnings import EARNINGS
from souk.contracts.topics.payments import PAYMENTS


def build(settings: BillingSettings) -> Parts:
    return Parts(
        routers=[budgets.routes, earnings.routes, postings.routes, payments.routes, payments.runs],
        intake=intake,
        timers=timers,
        republishers={
            BUDGETS: republishing.budgets,
            EARNINGS: republishing.earnings,
            PAYMENTS: republishing.payments_made,
        },
        background={"payment runs": keep_runs_scheduled},
        permissions_of=permissions_of,
    )


SERVICE = Service("billing", BillingSettings, build)
main = commands(SERVICE)
