"""A redirect that answered is a counted click (domain.md §9.2)."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from souk.checker.database import Connection
from souk.checker.finding import MOST, Finding

_AT_ONCE = 10_000
_MISSING = """
SELECT given.id, click.id IS NULL AS lost FROM unnest($1::uuid[]) AS given (id)
LEFT JOIN click ON click.id = given.id WHERE click.id IS NULL OR click.verdict IS NULL ORDER BY given.id
"""

_YOUNG = timedelta(days=300)
"""Tracking keeps single clicks for longer."""

_COUNTS = """
WITH counted AS (
  SELECT link_id AS id,
         count(*) FILTER (WHERE verdict = 'billable' AND NOT reversed) AS billable,
         count(*) FILTER (WHERE verdict = 'billable' AND reversed) AS reversed,
         count(*) FILTER (WHERE verdict = 'bot') AS bot,
         count(*) FILTER (WHERE verdict = 'duplicate') AS duplicate,
         count(*) FILTER (WHERE verdict = 'outside_period') AS outside_period
  FROM click GROUP BY link_id
)
SELECT link.id, link.billable AS told, coalesce(counted.billable, 0) AS judged
FROM link JOIN campaign ON campaign.id = link.campaign_id LEFT JOIN counted ON counted.id = link.id
WHERE campaign.starts_at > $1
  AND (link.billable, link.reversed, link.bot, link.duplicate, link.outside_period)
      IS DISTINCT FROM (coalesce(counted.billable, 0), coalesce(counted.reversed, 0),
                        coalesce(counted.bot, 0), coalesce(counted.duplicate, 0),
                        coalesce(counted.outside_period, 0))
ORDER BY link.id LIMIT $2
"""


async def counts(connection: Connection, now: datetime) -> list[Finding]:
    """Links whose cumulative counts are not those of their clicks; of campaigns that began in the last
    300 days, since single clicks are not kept for ever. now: the suite's clock."""
    return [
        Finding(
            "count_differs",
            f"{row['id']}",
            f"{row['told']} clicks are billable, {row['judged']} were judged so",
        )
        for row in await connection.fetch(_COUNTS, now - _YOUNG, MOST)
    ]


async def lost(connection: Connection, clicks: Collection[UUID]) -> list[Finding]:
    """Those of `clicks` that tracking's database doesn't have (`click_lost`), or has not judged
    (`click_uncounted`); all of them."""
    ordered = sorted(clicks)
    findings = []
    for start in range(0, len(ordered), _AT_ONCE):
        for row in await connection.fetch(_MISSING, ordered[start : start + _AT_ONCE]):
            check, why = (
                ("click_lost", "it is not stored")
                if row["lost"]
                else ("click_uncounted", "it has no verdict")
            )
            findings.append(Finding(check, f"{row['id']}", why))
    return findings
