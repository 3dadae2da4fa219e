"""What was observed, by time: followers of accounts, counts of posts."""

from datetime import datetime

from sqlalchemy import Table, and_, delete, select

from souk.chassis.work import Work


async def remove_older(work: Work, series: Table, than: datetime, limit: int) -> int:
    """Delete at most `limit` observations, the oldest first; how many it were."""
    key = series.primary_key.columns
    old = (
        select(*key).where(series.c.observed_at < than).order_by(series.c.observed_at).limit(limit).cte("old")
    )
    same = and_(*(column == old.c[column.name] for column in key))
    return (await work.execute(delete(series).where(same))).rowcount
