"""Gauges of what waits in the service's database: looked at every few seconds, also while all else fails."""

import asyncio
import logging
from collections.abc import Collection
from time import monotonic

from sqlalchemy import text

from souk.chassis import parking
from souk.chassis.errors import explain
from souk.chassis.intake import Intake
from souk.chassis.metrics import OUTBOX_AGE_SECONDS, OUTBOX_ROWS, PARKED_RECORDS
from souk.chassis.work import Units

EVERY_SECONDS = 5.0
_PATIENCE_SECONDS = 5.0
_MOST = 100_000

_OUTBOX = text(
    "SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT :most) AS waiting) AS waiting, "
    "(SELECT min(id) FROM outbox) AS oldest"
)

log = logging.getLogger(__name__)


async def keep(units: Units, intake: Intake | None) -> None:
    """Set the gauges of outbox and parked records until cancelled.

    The outbox is counted up to 100,000 rows. Its age is for how long this process has seen the same row
    be the oldest: rows carry no time of their own.
    """
    oldest: int | None = None
    since = monotonic()
    while True:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), units.begin(read_only=True) as work:
                row = await work.fetch_one(_OUTBOX, {"most": _MOST})
                parked = await parking.counts(work, intake.group) if intake else {}
        except Exception as error:  # noqa: BLE001  the last values stay; it is looked again
            log.warning("outbox and parked records were not counted: %s", explain(error))
        else:
            assert row is not None
            if row.oldest != oldest:
                oldest, since = row.oldest, monotonic()
            OUTBOX_ROWS.set(row.waiting)
            OUTBOX_AGE_SECONDS.set(monotonic() - since if oldest is not None else 0.0)
            _set_parked(parked, [topic.name for topic in intake.topics] if intake else ())
        await asyncio.sleep(EVERY_SECONDS)


def _set_parked(parked: dict[str, int], topics: Collection[str]) -> None:
    for topic in {*topics, *parked}:
        PARKED_RECORDS.labels(topic).set(parked.get(topic, 0))
