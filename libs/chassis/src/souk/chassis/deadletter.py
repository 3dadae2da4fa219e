"""What operators do with parked records: list, show, retry, drop."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import delete, select, update
from sqlalchemy.engine import Row

from souk.chassis import envelope
from souk.chassis.database import is_transient
from souk.chassis.errors import explain
from souk.chassis.intake import Intake
from souk.chassis.sets import among
from souk.chassis.tables import parked
from souk.chassis.work import Units, Work

MOST = 500


@dataclass(frozen=True, slots=True)
class Parked:
    """One parked record. parked_at: wall time. attempts: how often it failed."""

    id: int
    topic: str
    partition: int
    offset: int
    key: str
    error: str
    attempts: int
    parked_at: datetime


@dataclass(frozen=True, slots=True)
class Shown:
    """A parked record with its headers and value, bytes that are no UTF-8 replaced."""

    parked: Parked
    headers: dict[str, str]
    value: str


@dataclass(frozen=True, slots=True)
class Retried:
    """last: the id to go on after; None when there was nothing left to try."""

    applied: int
    failed: int
    last: int | None


async def list_parked(units: Units, after: int = 0, limit: int = 50) -> list[Parked]:
    """The parked records with the next ids, 500 at most."""
    async with units.begin(read_only=True) as work:
        rows = await work.fetch_all(
            select(parked).where(parked.c.id > after).order_by(parked.c.id).limit(min(limit, MOST))
        )
    return [_parked(row) for row in rows]


async def show(units: Units, record: int) -> Shown | None:
    """One parked record whole; None when there is none with this id."""
    async with units.begin(read_only=True) as work:
        row = await work.fetch_one(select(parked).where(parked.c.id == record))
    if row is None:
        return None
    headers = {name: value.decode(errors="replace") for name, value in envelope.unpack(row.headers)}
    return Shown(_parked(row), headers, (row.value or b"").decode(errors="replace"))


async def retry(
    units: Units, intake: Intake, ids: Sequence[int] | None = None, limit: int = 50, after: int = 0
) -> Retried:
    """Try parked records again in the order of their ids, each in a unit of work of its own.

    ids: those alone; None means all after `after`, 500 at most. What succeeds is no longer parked; what
    fails stays with its new error, so that a run that is broken off is simply repeated, or continued
    after `last`. A transient error that lasts ends the run and is raised.
    """
    wanted = select(parked.c.id).where(parked.c.id > after, parked.c.group == intake.group)
    if ids is not None:
        wanted = wanted.where(among(parked.c.id, ids))
    async with units.begin(read_only=True) as work:
        chosen = (await work.execute(wanted.order_by(parked.c.id).limit(min(limit, MOST)))).scalars().all()
    applied = failed = 0
    for record in chosen:
        try:
            applied += await units.insist(partial(_retry_one, intake, record))
        except Exception as error:
            if is_transient(error):
                raise
            failed += 1
            async with units.begin() as work:
                await work.execute(
                    update(parked)
                    .where(parked.c.id == record)
                    .values(error=explain(error), attempts=parked.c.attempts + 1)
                )
    return Retried(applied, failed, chosen[-1] if chosen else None)


async def _retry_one(intake: Intake, record: int, work: Work) -> bool:
    """False when it was superseded or dropped meanwhile."""
    row = await work.fetch_one(select(parked).where(parked.c.id == record).with_for_update())
    if row is None:
        return False
    subscription = intake.subscriptions[row.topic]
    await subscription.handler(work, [subscription.topic.parse(row.value or b"")])
    await work.execute(delete(parked).where(parked.c.id == record))
    return True


async def drop(units: Units, ids: Sequence[int]) -> int:
    """Forget parked records for good; how many there were. Their copies on `<group>.dlq` stay 30 days."""
    async with units.begin() as work:
        result = await work.execute(delete(parked).where(among(parked.c.id, ids)))
    return result.rowcount


def _parked(row: Row[tuple[object, ...]]) -> Parked:
    key = (row.key or b"").decode(errors="replace")
    return Parked(row.id, row.topic, row.partition, row.offset, key, row.error, row.attempts, row.parked_at)
