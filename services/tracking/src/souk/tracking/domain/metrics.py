"""What was observed of a piece of content, and how it joins what is known (domain.md §4)."""

from collections.abc import Sequence
from dataclasses import dataclass

from souk.contracts.topics.posts import Metrics

MOST_PREVIOUS = 20
LEAST_PREVIOUS = 5


@dataclass(frozen=True, slots=True)
class Observation:
    """Counts as the platform answered them; None is a count that it hides."""

    views: int | None = None
    likes: int | None = None
    comments: int | None = None
    shares: int | None = None


def merge(known: Metrics, seen: Observation) -> Metrics:
    """The newest observation wins, downwards too; a hidden count keeps its last known value."""
    return Metrics(
        views=known.views if seen.views is None else seen.views,
        likes=known.likes if seen.likes is None else seen.likes,
        comments=known.comments if seen.comments is None else seen.comments,
        shares=known.shares if seen.shares is None else seen.shares,
    )


def is_ad_fraud(likes: int, previous: Sequence[int]) -> bool:
    """Whether `likes` are more than twice the median of the account's previous posts' likes.

    previous: likes of up to 20 posts before this one. Fewer than five say nothing; exactly twice is none.
    """
    if not LEAST_PREVIOUS <= len(previous) <= MOST_PREVIOUS:
        return False
    # likes > 2 × median, in integers: twice the median is the sum of the two middle values.
    return likes > _doubled_median(previous)


def usual_likes(newest: Sequence[int]) -> int | None:
    """Median likes of an account's newest posts, rounded down; None below five."""
    if len(newest) < LEAST_PREVIOUS:
        return None
    return _doubled_median(newest) // 2


def _doubled_median(values: Sequence[int]) -> int:
    ordered = sorted(values)
    count = len(ordered)
    return ordered[(count - 1) // 2] + ordered[count // 2]
