"""Timers of jobs that work on whatever is there: how those end without missing what comes in meanwhile."""

from sqlalchemy import select

from souk.chassis.tables import timer
from souk.chassis.work import Work


async def hold(work: Work, kind: str, subject: str) -> None:
    """Lock a job's timer before looking, for the last time, whether anything is left.

    Who adds work sets the timer in the same unit: either that was committed before and is seen now, or
    it waits at this lock and sets the timer anew after the job has ended.
    """
    await work.execute(
        select(timer.c.kind).where(timer.c.kind == kind, timer.c.subject == subject).with_for_update()
    )
