"""Timers at work: finds what is due by the suite's clock and has it done, once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import groupby
from time import monotonic, perf_counter
from typing import Any

import asyncpg
from sqlalchemy import ARRAY, Text, bindparam, text
from sqlalchemy.engine import Row

from souk.chassis.clock import SystemClock, to_micros
from souk.chassis.database import CONNECT_SECONDS, bare_dsn, is_transient
from souk.chassis.errors import explain
from souk.chassis.metrics import JOB_SECONDS, TIMER_FAILURES, TIMERS_DUE
from souk.chassis.telemetry import timer_span
from souk.chassis.timers import Barrier, Job, JobHandler, LostError, Timer, TimerHandler, Timers
from souk.chassis.work import Units

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often the table is looked at when nothing says that it changed (timers set by other processes)."""
_MANUAL_TICK = 0.02
_MOST = 200
_FIRST_RETRY, _LAST_RETRY = 0.2, 60.0
_DRAIN_SECONDS = 8.0

_DUE = text(
    "SELECT kind, subject, due_at, data, attempts FROM timer "
    "WHERE due_at <= :now AND next_attempt_at <= clock_timestamp() AND kind = ANY(:kinds) "
    "ORDER BY due_at, kind, subject LIMIT :most"
).bindparams(bindparam("kinds", type_=ARRAY(Text)))
_SURVEY = text(
    "SELECT min(due_at) FILTER (WHERE due_at > :now) AS next, count(*) FILTER (WHERE due_at <= :now) AS due, "
    "array_agg(DISTINCT kind) FILTER (WHERE due_at <= :now AND kind <> ALL(:kinds)) AS unknown "
    "FROM (SELECT kind, due_at FROM timer ORDER BY due_at LIMIT 10000) AS first"
).bindparams(bindparam("kinds", type_=ARRAY(Text)))
_CLAIM = text(
    "SELECT kind, subject, due_at, data, attempts, traceparent FROM timer "
    "WHERE kind = :kind AND subject = :subject AND due_at <= :now AND next_attempt_at <= clock_timestamp() "
    "FOR UPDATE SKIP LOCKED"
)
_FAIL = text(
    "UPDATE timer SET attempts = attempts + 1, error = :error, "
    "next_attempt_at = clock_timestamp() + make_interval(secs => :retry) "
    "WHERE kind = :kind AND subject = :subject AND due_at = :due_at"
)
_TRY_LOCK = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"


class TimerRunner:
    """Fires a service's timers. Any number of processes may run one each.

    Each kind has a lane: its due timers one after the other by (due_at, subject); lanes run beside each
    other. A timer that fails waits (0.2 s at first, a minute at most, of wall time) and lets the next pass.
    """

    def __init__(self, timers: Timers, units: Units, barrier: Barrier) -> None:
        self._timers = timers
        self._units = units
        self._barrier = barrier
        self._kinds = sorted([*timers.handlers, *timers.jobs])
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._next_due: int | None = None
        self._unknown: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Fire until cancelled; what is being done then is finished, for at most 8 s."""
        try:
            while True:
                self._units.timer_set.clear()
                try:
                    await self._look()
                except Exception as error:  # noqa: BLE001  the timers are in the database and wait
                    log.warning("timers are looked at again in %.1f s: %s", LOOK_SECONDS, explain(error))
                    self._next_due = None
                await self._wait()
        finally:
            lanes = list(self._lanes.values())
            if lanes:
                await asyncio.wait(lanes, timeout=_DRAIN_SECONDS)
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)

    async def _look(self) -> None:
        """Start a lane for each kind that has due timers and none running; remember when to look again."""
        idle = [kind for kind in self._kinds if kind not in self._lanes]
        async with self._units.begin(read_only=True) as work:
            due = await work.fetch_all(_DUE, {"now": work.now, "kinds": idle, "most": _MOST})
            survey = (await work.fetch_all(_SURVEY, {"now": work.now, "kinds": self._kinds}))[0]
        self._next_due = to_micros(survey.next) if survey.next else None
        TIMERS_DUE.set(survey.due)
        unknown = frozenset(survey.unknown or ())
        if unknown - self._unknown:
            log.error("timers are due that nobody handles: %s", ", ".join(sorted(unknown)))
        self._unknown = unknown
        timers = sorted((_timer(row) for row in due), key=lambda timer: timer.kind)
        for kind, of_kind in groupby(timers, key=lambda timer: timer.kind):
            lane = asyncio.create_task(self._run_lane(list(of_kind)))
            self._lanes[kind] = lane
            lane.add_done_callback(partial(self._leave, kind))

    def _leave(self, kind: str, _: object) -> None:
        del self._lanes[kind]
        # There may be more of this kind than one look takes.
        self._units.timer_set.set()

    async def _wait(self) -> None:
        """Until a timer may be due: one set by this process, one the clock reaches, or after a second."""
        clock, until = self._units.clock, monotonic() + LOOK_SECONDS
        while (left := until - monotonic()) > 0:
            ahead = float("inf") if self._next_due is None else (self._next_due - clock.micros()) / 1e6
            if ahead <= 0:
                return
            tick = min(left, ahead) if isinstance(clock, SystemClock) else min(left, _MANUAL_TICK)
            try:
                async with asyncio.timeout(tick):
                    await self._units.timer_set.wait()
            except TimeoutError:
                continue
            return

    async def _run_lane(self, timers: Sequence[Timer]) -> None:
        for timer in timers:
            started = perf_counter()
            job = self._timers.jobs.get(timer.kind)
            done: Awaitable[None] = (
                self._run_job(job, timer) if job else self._fire(self._timers.handlers[timer.kind], timer)
            )
            try:
                await done
            except LostError:
                log.info("the job %s of %s was ended or moved elsewhere", timer.kind, timer.subject)
            except Exception as error:  # noqa: BLE001  one failing timer doesn't hold up the others
                await self._fail(timer, error)
            JOB_SECONDS.labels(timer.kind).observe(perf_counter() - started)

    async def _fire(self, handler: TimerHandler, timer: Timer) -> None:
        async with self._units.begin() as work:
            claim = {"kind": timer.kind, "subject": timer.subject, "now": work.now}
            row = await work.fetch_one(_CLAIM, claim)
            if row is None:  # another worker has it, or it was moved
                return
            with timer_span("timer", timer.kind, row.traceparent):
                await handler(work, _timer(row))
            if not work.is_scheduled(timer.kind, timer.subject):
                work.cancel(timer.kind, timer.subject)

    async def _run_job(self, handler: JobHandler, timer: Timer) -> None:
        async with self._alone(timer) as alone:
            if not alone:
                return
            async with self._units.begin() as work:
                claim = {"kind": timer.kind, "subject": timer.subject, "now": work.now}
                row = await work.fetch_one(_CLAIM, claim)
            if row is None:
                return
            job = Job(self._units, _timer(row), self._barrier)
            with timer_span("job", timer.kind, row.traceparent):
                await handler(job)
            if not job.is_done:
                raise RuntimeError("the job returned without job.done")

    @asynccontextmanager
    async def _alone(self, timer: Timer) -> AsyncIterator[bool]:
        """Whether no other process runs this job; it then can't start one until the end of the block."""
        connection = await asyncpg.connect(
            bare_dsn(self._units.engine),
            timeout=CONNECT_SECONDS,
            command_timeout=CONNECT_SECONDS,
            server_settings={"application_name": f"souk-{self._units.service} job {timer.kind}"},
        )
        try:
            yield bool(await connection.fetchval(_TRY_LOCK, f"{timer.kind} {timer.subject}"))
        finally:
            connection.terminate()

    async def _fail(self, timer: Timer, error: Exception) -> None:
        retry = min(_FIRST_RETRY * 2 ** min(timer.attempts, 20), _LAST_RETRY)
        level = logging.WARNING if is_transient(error) else logging.ERROR
        log.log(
            level,
            "timer %s of %s failed, again in %.1f s: %s",
            *(timer.kind, timer.subject, retry, explain(error)),
        )
        log.debug("its error", exc_info=error)
        TIMER_FAILURES.labels(timer.kind).inc()
        failure = {"error": explain(error), "retry": retry}
        try:
            async with self._units.begin() as work:
                await work.execute(
                    _FAIL,
                    failure | {"kind": timer.kind, "subject": timer.subject, "due_at": timer.due_at},
                )
        except Exception as unwritten:  # noqa: BLE001  it will fail again at once, and be written then
            log.warning("a failure could not be noted: %s", explain(unwritten))
            await asyncio.sleep(_FIRST_RETRY)


def _timer(row: Row[Any]) -> Timer:
    return Timer(row.kind, row.subject, row.due_at, row.data, row.attempts)
