"""Work that is due at an instant of the suite's clock: declared in each service's `timers.py`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import text

from souk.chassis.work import Units, Work
from souk.contracts.topics import Topic

_OWN = text("SELECT 1 FROM timer WHERE kind = :kind AND subject = :subject AND due_at = :due_at FOR UPDATE")


@dataclass(frozen=True, slots=True)
class Timer:
    """A due timer.

    due_at: the instant it was set for, which decisions are taken at (`work.now` may be later in
        production). data: as given to `work.schedule`. attempts: how often it has failed before.
    """

    kind: str
    subject: str
    due_at: datetime
    data: Mapping[str, Any]
    attempts: int


class Barrier(Protocol):
    async def __call__(self, *topics: Topic[Any]) -> None: ...


class LostError(Exception):
    """The timer that this job works for is no longer its own: another run finished or moved it."""


class Job:
    """Long work: several units of work and calls outside.

    Killed at any point it runs again from its start, so each of its steps must be harmless when
    repeated. One runs at a time per (kind, subject). Its timer stays due until `done`.

    units: to open units of work with. timer: what it works for.
    """

    def __init__(self, units: Units, timer: Timer, barrier: Barrier) -> None:
        self.units = units
        self.timer = timer
        self._barrier = barrier
        self.is_done = False

    @property
    def now(self) -> datetime:
        """The suite's clock, read anew."""
        return self.units.clock.now()

    async def done(self, work: Work, again_at: datetime | None = None, **data: Any) -> None:
        """End the job in its last unit of work; with `again_at` it runs anew at that instant.

        data: of the next run; without any it keeps this run's. Raises LostError when another worker has
        ended it meanwhile: let it pass, so that the unit rolls back.
        """
        timer = self.timer
        own = {"kind": timer.kind, "subject": timer.subject, "due_at": timer.due_at}
        if await work.fetch_one(_OWN, own) is None:
            raise LostError(f"{timer.kind} of {timer.subject}")
        if again_at is None:
            work.cancel(timer.kind, timer.subject)
        else:
            work.schedule(timer.kind, timer.subject, again_at, **(data or timer.data))
        self.is_done = True

    async def barrier(self, *topics: Topic[Any]) -> None:
        """Wait until this service's intake has applied all that is on `topics` at this moment.

        Raises TimeoutError after 5 minutes of wall time; the job is then tried again later.
        """
        await self._barrier(*topics)


TimerHandler = Callable[[Work, Timer], Awaitable[None]]
JobHandler = Callable[[Job], Awaitable[None]]


class Timers:
    """The kinds of timers of a service and what to do when one is due."""

    def __init__(self) -> None:
        self.handlers: dict[str, TimerHandler] = {}
        self.jobs: dict[str, JobHandler] = {}

    def on(self, kind: str) -> Callable[[TimerHandler], TimerHandler]:
        """Have the decorated function called in a unit of work of its own, the timer's row locked.

        The timer is gone when the unit commits, unless the handler schedules the same kind and subject
        again. Due timers of one kind are handled by (due_at, subject), one after the other.
        """

        def register(handler: TimerHandler) -> TimerHandler:
            self._refuse_second(kind)
            self.handlers[kind] = handler
            return handler

        return register

    def job(self, kind: str) -> Callable[[JobHandler], JobHandler]:
        """Have the decorated function called as a job; it must end with `job.done`."""

        def register(handler: JobHandler) -> JobHandler:
            self._refuse_second(kind)
            self.jobs[kind] = handler
            return handler

        return register

    def _refuse_second(self, kind: str) -> None:
        if kind in self.handlers or kind in self.jobs:
            raise ValueError(f"{kind} has a handler already")
