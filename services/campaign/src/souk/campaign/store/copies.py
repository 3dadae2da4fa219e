"""Read copies of other services' topics, with the columns that are used here."""

from collections.abc import Sequence

from souk.campaign.store.tables import budget
from souk.chassis.store import upsert_newer
from souk.chassis.work import Work
from souk.contracts.topics.budgets import Budget


async def keep_budgets(work: Work, budgets: Sequence[Budget]) -> None:
    """A budget may come before or after anything here: a status joins it when it is asked for."""
    await upsert_newer(
        work,
        budget,
        [
            {
                "id": state.campaign_id,
                "version": state.version,
                "budget_version": state.budget_version,
                "exhausted": state.status == "exhausted",
            }
            for state in budgets
        ],
    )
