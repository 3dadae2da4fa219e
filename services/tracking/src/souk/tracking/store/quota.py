"""How much of a platform's daily quota is spent."""

import asyncio
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert

from souk.chassis.work import Units
from souk.tracking.adapters.platform import QuotaSpentError
from souk.tracking.store.tables import quota

PACIFIC = ZoneInfo("America/Los_Angeles")
_BLOCK = 25
_KEPT_DAYS = 40


class Quota:
    """Units of one platform, counted per day of Pacific time of the suite's clock, before they are spent.

    Taken from the database in blocks, so that a call does not cost a transaction; a block that a killed
    process held counts as spent.
    """

    def __init__(self, units: Units, platform: str, limit: int) -> None:
        self._units = units
        self._platform = platform
        self._limit = limit
        self._day: date | None = None
        self._left = 0
        self._one_at_a_time = asyncio.Lock()

    def _today(self) -> date:
        return self._units.clock.now().astimezone(PACIFIC).date()

    async def spend(self, amount: int) -> None:
        """Raises QuotaSpentError when the day's units are gone."""
        async with self._one_at_a_time:
            today = self._today()
            if self._day != today:
                self._day, self._left = today, 0
            if self._left < amount:
                self._left += await self._take(today, max(_BLOCK, amount))
            if self._left < amount:
                raise QuotaSpentError(f"{self._limit} units of {self._platform} are spent today")
            self._left -= amount

    async def exhaust(self) -> None:
        """The platform says that nothing is left today."""
        async with self._one_at_a_time:
            self._day, self._left = self._today(), 0
            await self._take(self._day, self._limit)

    async def settle(self) -> None:
        """Give back what was taken and not spent."""
        async with self._one_at_a_time:
            if self._left and self._day == self._today():
                async with self._units.begin() as work:
                    await work.execute(
                        update(quota)
                        .where(quota.c.platform == self._platform, quota.c.day == self._day)
                        .values(used=quota.c.used - self._left)
                    )
            self._left = 0

    async def _take(self, day: date, amount: int) -> int:
        async with self._units.begin() as work:
            begun = await work.execute(
                insert(quota).values(platform=self._platform, day=day, used=0).on_conflict_do_nothing()
            )
            if begun.rowcount:
                await work.execute(delete(quota).where(quota.c.day < day - timedelta(days=_KEPT_DAYS)))
            row = (quota.c.platform == self._platform) & (quota.c.day == day)
            used: int = await work.scalar(select(quota.c.used).where(row).with_for_update())
            granted = max(0, min(amount, self._limit - used))
            if granted:
                await work.execute(update(quota).where(row).values(used=used + granted))
        return granted
