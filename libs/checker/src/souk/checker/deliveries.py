"""Nobody is told the same thing twice (domain.md §7)."""

from souk.checker.database import Connection
from souk.checker.finding import MOST, Finding
from souk.checker.topics import Log

_ONCE = ("campaign.upcoming", "campaign.started", "campaign.finished", "payment.made", "payment.paid")
"""What happens once to whatever it is about. The rest can happen again, and is then told again: a budget
that was raised is exhausted anew, a post that was made ineffective is approved anew."""

_TWICE = """
SELECT influencer_id, channel, kind, subject, count(*) AS times
FROM delivery, unnest(subject_ids) AS subject
WHERE kind = ANY($1)
GROUP BY influencer_id, channel, kind, subject HAVING count(*) > 1
ORDER BY influencer_id, channel, kind, subject LIMIT $2
"""


async def told_twice(connection: Connection) -> list[Finding]:
    """Deliveries of one thing to one person on one channel, of what can happen only once."""
    return [
        Finding(
            "told_twice",
            f"{row['influencer_id']} {row['channel']} {row['kind']} {row['subject']}",
            f"{row['times']} deliveries",
        )
        for row in await connection.fetch(_TWICE, list(_ONCE), MOST)
    ]


def sent_again(log: Log) -> list[Finding]:
    """Deliveries that came to an end more than once: only their end is published, so it has one version."""
    return [
        Finding("told_twice", f"{log.topic.name} {key}", "more than one outcome was told")
        for key in log.told_again()
    ]
