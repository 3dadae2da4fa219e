"""Nobody is told the same thing twice (domain.md §7)."""

from souk.checker.database import Connection
from souk.checker.finding import MOST, Finding
from souk.checker.topics import Log

_ONCE = (
    *("campaign.upcoming", "campaign.started", "campaign.finished"),
    *("participation.approved", "payment.made", "payment.paid"),
)
"""What happens once to whatever it is about. A payment fails anew only once it was corrected, and each of the
two is a version of it. The rest is told again whenever it happens again, and nothing here says how often that
was: a budget that was raised is exhausted anew, who applies anew is rejected anew, and a post that was made
ineffective is approved or made ineffective anew, while its metrics move its version too."""

_TWICE = """
SELECT influencer_id, channel, kind, subject, count(*) AS times
FROM delivery CROSS JOIN unnest(subject_ids) AS subject LEFT JOIN payment ON payment.id = subject
WHERE kind = ANY($1) OR kind = 'payment.failed'
GROUP BY influencer_id, channel, kind, subject
HAVING count(*) > CASE kind WHEN 'payment.failed' THEN greatest(max(payment.version) / 2, 1) ELSE 1 END
ORDER BY influencer_id, channel, kind, subject LIMIT $2
"""


async def told_twice(connection: Connection) -> list[Finding]:
    """Deliveries of one thing to one person on one channel, more of them than it can have happened."""
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
        for key in log.told.several(log.topic.name)
    ]
