"""Whether a service has anything left to do: for whoever moves the suite's clock."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from souk.chassis import ends, fence
from souk.chassis.intake import Intake
from souk.chassis.work import Units

_MOST = 100_000

_READ = text(
    "SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT :most) AS waiting) AS outbox, "
    "(SELECT coalesce(last_value, 0) FROM pg_sequences "
    "WHERE schemaname = current_schema() AND sequencename = 'outbox_id_seq') AS published, "
    "(SELECT count(*) FROM parked) AS parked, "
    "(SELECT count(*) FROM (SELECT FROM timer WHERE due_at <= :now LIMIT :most) AS due) AS due, "
    "(SELECT min(due_at) FROM timer WHERE due_at > :now) AS next_due"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """outbox: records that Kafka has not acknowledged. lag: records that this service has not applied.
    parked: records set aside. due: timers due by the suite's clock, also those that failed and wait.
    next_due: the instant of the first timer after the clock. progress: grows with every record
    published or applied. outbox and due stop counting at 100,000.
    """

    outbox: int
    lag: int
    parked: int
    due: int
    next_due: datetime | None
    progress: int


class Pulse:
    """Reads one service's pulse, in a few milliseconds.

    The order makes "quiet" a sound conclusion. Work moves on one way: timer → outbox → log → applied. A
    reading first takes the database in one snapshot and asks for the ends of the topics after it:
    - what a unit left in the outbox, or a timer not done, is in the snapshot;
    - what left the outbox before the snapshot was acknowledged before it, so the ends, asked later, have it;
    - a record that was not applied in the snapshot is between its position and those ends.
    Asked the other way round, a record that went from outbox to log in between would be in neither.
    A batch or timer that is being handled counts still, since its position or row changes with its commit.
    Across services one round is not enough: B may be read before A's last record arrives. But if a second
    round reads nothing outstanding and the same progress everywhere, nothing arrived: A's record was in the
    log before the second reading of B, which would show it as lag, or as progress.
    """

    def __init__(self, units: Units, intake: Intake | None, log_ends: ends.LogEnds) -> None:
        self._units = units
        self._intake = intake
        self._ends = log_ends

    async def read(self) -> Reading:
        """Raises when the database or Kafka doesn't answer: then nobody knows."""
        async with self._units.begin(read_only=True) as work:
            row = (await work.fetch_all(_READ, {"now": work.now, "most": _MOST}))[0]
            applied = await fence.positions(work, self._intake.group) if self._intake else {}
        behind = 0
        if self._intake and self._intake.subscriptions:
            behind = sum(ends.lag(await self._ends.of(self._intake.topics), applied).values())
        return Reading(
            outbox=row.outbox,
            lag=behind,
            parked=row.parked,
            due=row.due,
            next_due=row.next_due,
            progress=row.published + sum(position.next_offset for position in applied.values()),
        )
