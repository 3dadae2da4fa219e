"""Which load there was: what was acknowledged, by kind, and what came of itself."""

from collections import Counter
from collections.abc import Sequence

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
SELECT (SELECT count(*) FROM post) AS post,
  count(*) FILTER (WHERE views > before) AS metric_up, count(*) FILTER (WHERE views < before) AS metric_down
FROM (SELECT views, lag(views) OVER (PARTITION BY post_id ORDER BY observed_at) AS before FROM post_snapshot)
  AS seen
"""
_PAYMENTS = """
SELECT (SELECT count(*) FROM payment) AS payment, count(*) AS payment_run FROM payment_run WHERE payments > 0
"""
_SENT = "SELECT 'sent_' || channel, count(*) FROM delivery WHERE status = 'sent' GROUP BY channel"


async def load(databases: Databases, history: History) -> Counter[str]:
    """How often there was each kind of load until now."""
    found = Counter(told.kind for told in history.told if told.outcome == "acknowledged")
    found.update(dict(await databases["tracking"].fetchrow(_POSTS)))
    found.update(dict(await databases["billing"].fetchrow(_PAYMENTS)))
    found.update(dict(await databases["notify"].fetch(_SENT)))
    return found
