"""Which load there was: what was acknowledged, by kind, and what came of itself."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from effects import Databases
from history import History

KINDS: Sequence[str] = (
    *("draft", "codes", "shop", "approve", "raise", "edit"),
    *("join", "accept", "withdraw", "click", "reverse", "order", "refund"),
    *("post", "metric_up", "metric_down", "post_approve", "post_ineffective"),
    *("payment_run", "payment", "payment_paid"),
    *("sent_in_app", "sent_email", "sent_push"),
)
"""Kinds of requests, and what nobody asks for: posts that were found, metrics that were seen to go up and
down, payment runs that paid and their payments, notices that went out. Left out is what only a few posts and
payments come to: being effective again, failing, being corrected."""

_POSTS = """
SELECT (SELECT count(*) FROM post WHERE found_at > $1) AS post,
  count(*) FILTER (WHERE views > before) AS metric_up, count(*) FILTER (WHERE views < before) AS metric_down
FROM (SELECT observed_at, views, lag(views) OVER (PARTITION BY post_id ORDER BY observed_at) AS before
  FROM post_snapshot) AS seen
WHERE observed_at > $1
"""
_PAYMENTS = """
SELECT (SELECT count(*) FROM payment WHERE created_at > $1) AS payment, count(*) AS payment_run
FROM payment_run WHERE payments > 0 AND started_at > $1
"""
_SENT = """
SELECT 'sent_' || channel, count(*) FROM delivery WHERE status = 'sent' AND made_at > $1 GROUP BY channel
"""


async def load(databases: Databases, history: History, within: timedelta) -> Counter[str]:
    """How often there was each kind of load so short a time ago, by the history's clock."""
    since = history.clock() - within
    found = Counter(t.kind for t in history.told if t.outcome == "acknowledged" and t.asked_at > since)
    found.update(dict(await databases["tracking"].fetchrow(_POSTS, since)))
    found.update(dict(await databases["billing"].fetchrow(_PAYMENTS, since)))
    found.update(dict(await databases["notify"].fetch(_SENT, since)))
    return found
