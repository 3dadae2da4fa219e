"""Sends what is pending on a channel, each delivery at most once.

A delivery is claimed in a transaction of its own before anyone is asked to take it, and its outcome is
noted in another. What lies claimed when a sender starts belongs to one that is no more: it may have
been handed over, so it is called `unknown` and stays unsent (docs/decisions/0004-never-twice.md).
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import UUID

from souk.chassis.telemetry import work_span
from souk.chassis.timers import Job
from souk.chassis.work import Units
from souk.contracts.topics.deliveries import Channel
from souk.notify.channels.outlet import AwayError, Outcome, Outlet, Result
from souk.notify.domain.definitions import Status
from souk.notify.domain.retries import wait_before
from souk.notify.handlers.telling import ALL, SEND, pass_on
from souk.notify.metrics import HAND_OVER_SECONDS, HANDED_OVER
from souk.notify.store import copies, deliveries, suppressions, timers

_CHUNK = 50
"""What may become `unknown` at a kill: claimed deliveries of one lane."""
_LANES = 2
"""One claims and notes while the other hands over."""
_LONGEST_WAIT = timedelta(seconds=20)
"""Waited for here; for longer the job ends and comes again."""
_AWAY_SECONDS = (0.5, 1, 2, 4, 8, 15, 30)
_DRAIN_SECONDS = 2
_PROGRESS_SECONDS = 5

logger = logging.getLogger(__name__)

JobHandler = Callable[[Job], Awaitable[None]]


def sender(channel: Channel, outlet: Outlet | None) -> JobHandler:
    """The job that sends on `channel`; without an outlet what is pending there is suppressed."""
    if outlet is not None:
        # Prometheus sees growth of what it knows alone: what came of the first ones would be none.
        for result in get_args(Result):
            HANDED_OVER.labels(channel, result)

    async def send_pending(job: Job) -> None:
        await _abandon_leftovers(job.units, channel)
        while True:
            if outlet is None:
                await _suppress_all(job.units, channel)
            else:
                await _send_all_due(job.units, outlet)
            wait = await _end(job, channel)
            if wait is None:
                return
            await asyncio.sleep(wait.total_seconds())

    return send_pending


async def _end(job: Job, channel: Channel) -> timedelta | None:
    """End the job when nothing is due soon, or how long to wait for what is."""
    async with job.units.begin() as work:
        await timers.hold(work, SEND[channel], ALL)
        due = await deliveries.next_attempt(work, channel)
        wait = timedelta() if due is None else max(due - _wall(), timedelta())
        if due is not None and wait <= _LONGEST_WAIT:
            return wait
        await job.done(work, again_at=None if due is None else work.now + wait)
        return None


async def _abandon_leftovers(units: Units, channel: Channel) -> None:
    while True:
        async with units.begin() as work:
            rows = await deliveries.abandon(work, channel)
            await pass_on(work, rows)
        if not rows:
            return
        logger.warning("deliveries interrupted", extra={"channel": channel, "deliveries": len(rows)})


async def _suppress_all(units: Units, channel: Channel) -> None:
    while True:
        async with units.begin() as work:
            rows = await deliveries.claim(work, channel, _wall(), _CHUNK)
            off: list[tuple[UUID, Status, str | None]] = [
                (row.id, "suppressed", "channel_off") for row in rows if row.status == "sending"
            ]
            await pass_on(work, [row for row in rows if row.status != "sending"])
            await pass_on(work, await deliveries.conclude(work, off))
        if not rows:
            return


async def _send_all_due(units: Units, outlet: Outlet) -> None:
    """Until nothing is due now. While the channel is away it is tried again with growing pauses; raises
    AwayError when it stays away, so that the timer's own back-off goes on."""
    progress = _Progress(outlet.channel)
    for pause in (*_AWAY_SECONDS, None):
        try:
            async with asyncio.TaskGroup() as lanes:
                for _ in range(_LANES):
                    lanes.create_task(_lane(units, outlet, progress))
        except* AwayError as away:
            if pause is None:
                raise AwayError(str(away.exceptions[0])) from None
            logger.warning("channel away", extra={"channel": outlet.channel, "why": str(away.exceptions[0])})
        else:
            return
        await asyncio.sleep(pause)


async def _lane(units: Units, outlet: Outlet, progress: "_Progress") -> None:
    while True:
        async with units.begin() as work:
            rows = await deliveries.claim(work, outlet.channel, _wall(), _CHUNK)
            facts = await copies.facts_of(work, rows)
            await pass_on(work, [row for row in rows if row.status != "sending"])
        if not rows:
            return
        batch = _Batch(outlet, [row for row in rows if row.status == "sending"], facts)
        handing_over = asyncio.ensure_future(batch.hand_over())
        try:
            await asyncio.shield(handing_over)
        except asyncio.CancelledError:
            # Those in hand may still be answered, the others were never offered.
            batch.waiting.clear()
            await asyncio.wait({handing_over}, timeout=_DRAIN_SECONDS)
            handing_over.cancel()
            await asyncio.shield(_note(units, batch))
            raise
        await _note(units, batch)
        progress.add(len(rows))
        if batch.away is not None:
            raise batch.away


class _Batch:
    """Claimed deliveries on their way out, `width` at a time.

    outcomes: by delivery; one that was taken in hand and isn't there has no known outcome.
    """

    def __init__(self, outlet: Outlet, rows: Sequence[Any], facts: copies.Facts) -> None:
        self.rows = rows
        self.waiting = deque(rows)
        self.outcomes: dict[UUID, Outcome] = {row.id: Outcome("untouched") for row in rows}
        self.away: AwayError | None = None
        self.channel = outlet.channel
        self._outlet = outlet
        self._facts = facts

    async def hand_over(self) -> None:
        await asyncio.gather(*(self._take() for _ in range(min(self._outlet.width, len(self.rows)))))

    async def _take(self) -> None:
        while self.waiting:
            row = self.waiting.popleft()
            self.outcomes[row.id] = Outcome("unknown", "interrupted")
            try:
                with (
                    work_span(f"deliver {self.channel}", delivery=str(row.id)),
                    HAND_OVER_SECONDS.labels(self.channel).time(),
                ):
                    self.outcomes[row.id] = await self._outlet.send(row, self._facts)
            except AwayError as away:
                self.outcomes[row.id] = Outcome("untouched")
                self.away = away
                self.waiting.clear()
            except Exception as error:
                logger.exception("delivery failed", extra={"delivery": str(row.id)})
                self.outcomes[row.id] = Outcome("unknown", type(error).__name__)


async def _note(units: Units, batch: _Batch) -> None:
    """Write down what became of a batch."""
    final: list[tuple[UUID, Status, str | None]] = []
    again: list[tuple[UUID, datetime, str | None]] = []
    untouched: list[tuple[UUID, datetime, str | None]] = []
    wall = _wall()
    for row in batch.rows:
        outcome = batch.outcomes[row.id]
        match outcome.result:
            case "sent" | "failed" | "unknown" as result:
                final.append((row.id, result, outcome.detail))
            case "again":
                wait = wait_before(row.attempts, outcome.wait)
                if wait is None:
                    final.append((row.id, "failed", outcome.detail))
                else:
                    again.append((row.id, wall + wait, outcome.detail))
            case "untouched":
                untouched.append((row.id, row.next_attempt_at, row.detail))
    unusable = [
        (row.influencer_id, cause, address)
        for row in batch.rows
        for cause, address in batch.outcomes[row.id].unusable
    ]
    async with units.begin() as work:
        await pass_on(work, await deliveries.conclude(work, final))
        await deliveries.put_back(work, again, tried=True)
        await deliveries.put_back(work, untouched, tried=False)
        await suppressions.hold_back(work, unusable)
    for outcome in batch.outcomes.values():
        HANDED_OVER.labels(batch.channel, outcome.result).inc()


class _Progress:
    """Says every few seconds how far a long run is."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._handled = 0
        self._said_at = time.monotonic()

    def add(self, handled: int) -> None:
        self._handled += handled
        if time.monotonic() - self._said_at >= _PROGRESS_SECONDS:
            self._said_at = time.monotonic()
            logger.info("sending", extra={"channel": self._channel, "handled": self._handled})


def _wall() -> datetime:
    """Wall time: retries are no matter of the suite's clock."""
    return datetime.now(UTC)
