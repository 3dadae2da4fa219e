"""What the campaign service reads."""

from collections.abc import Sequence

from souk.campaign.store import copies, tables
from souk.chassis.intake import Intake
from souk.chassis.work import Work
from souk.contracts.topics.budgets import BUDGETS, Budget

intake = Intake("campaign")


@intake.reads(BUDGETS, copy=tables.budget)
async def budgets_changed(work: Work, budgets: Sequence[Budget]) -> None:
    await copies.keep_budgets(work, budgets)
