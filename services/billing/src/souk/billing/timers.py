"""What is due, and who does it."""

import asyncio

from sqlalchemy import select

from souk.billing.domain.payout import next_run
from souk.billing.handlers.accruals import CATCHES_UP, catch_up
from souk.billing.handlers.payments import RUNS, run_payments, schedule_run
from souk.billing.handlers.settlements import settle
from souk.billing.store.accounts import SETTLES
from souk.chassis.process import Runtime
from souk.chassis.tables import timer
from souk.chassis.timers import Timers
from souk.chassis.work import Work

timers = Timers()
timers.job(RUNS)(run_payments)
timers.job(SETTLES)(settle)
timers.job(CATCHES_UP)(catch_up)


async def keep_runs_scheduled(runtime: Runtime) -> None:
    """Set the first payment run when a worker starts on a database without one; each run sets the next."""

    async def begin(work: Work) -> None:
        if await work.scalar(select(timer.c.kind).where(timer.c.kind == RUNS).limit(1)) is None:
            schedule_run(work, next_run(work.now))

    await runtime.units.insist(begin)
    await asyncio.Event().wait()
