"""Which content is a post of a campaign, which posts count, and what warnings do (domain.md §4)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from souk.contracts.topics.posts import PostStatus, PostWarning, WarningKind

OUTSIDE_PERIOD = "outside_period"
OVER_BUDGET = "over_budget"
FOLLOWED: tuple[PostStatus, ...] = ("effective", "warning")
"""Their metrics are money still; every other status is somebody's decision."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What a campaign asks of a post. The period is half-open."""

    hashtags: tuple[str, ...]
    starts_at: datetime | None
    ends_at: datetime | None

    def covers(self, instant: datetime) -> bool:
        return (
            self.starts_at is not None
            and self.ends_at is not None
            and self.starts_at <= instant < self.ends_at
        )

    def asks_for(self, hashtags: Collection[str], published_at: datetime) -> bool:
        """Whether such content is a post of the campaign: all hashtags, published inside the period."""
        return bool(self.hashtags) and self.covers(published_at) and self.has_all(hashtags)

    def has_all(self, hashtags: Collection[str]) -> bool:
        return set(self.hashtags) <= set(hashtags)


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides whether a participation's post is the one that counts."""

    id: UUID
    published_at: datetime
    external_id: str
    status: PostStatus
    counts: bool


def counting(posts: Sequence[Standing], *, multi_posting: bool) -> set[UUID]:
    """The posts of one participation that count.

    An ineffective one never does. With multi-posting every other does; without, the live one that was
    published first, unless an approved one counts already. A pending post counts when it would, were it
    live: billing must judge its whole worth.
    """
    if multi_posting:
        return {post.id for post in posts if post.status != "ineffective"}
    live = [post for post in posts if post.status in ("effective", "warning", "approved")]
    counted = {first.id} if (first := _first(live)) else set()
    counted |= {post.id for post in posts if post.status == "pending" and _first([*live, post]) == post}
    return counted


def _first(live: Sequence[Standing]) -> Standing | None:
    return min(
        live,
        key=lambda post: (
            not (post.status == "approved" and post.counts),
            post.published_at,
            post.external_id,
        ),
        default=None,
    )


def raise_warning(
    warnings: tuple[PostWarning, ...], kind: WarningKind, since: datetime, now: datetime
) -> tuple[PostWarning, ...]:
    """`warnings` with an open one of `kind`, unless it was raised for the same cause.

    since: when the cause began. A warning of this kind raised at or after it, solved or not, is this one.
    """
    if any(warning.kind == kind and warning.raised_at >= since for warning in warnings):
        return warnings
    return (*warnings, PostWarning(kind=kind, raised_at=now))


def solve_warnings(warnings: tuple[PostWarning, ...], kind: WarningKind) -> tuple[PostWarning, ...]:
    return tuple(
        warning.model_copy(update={"solved": True}) if warning.kind == kind else warning
        for warning in warnings
    )


def status_by_warnings(status: PostStatus, warnings: Sequence[PostWarning]) -> PostStatus:
    """`effective` or `warning` by whether one is open; a person's decision stays as it is."""
    if status not in FOLLOWED:
        return status
    return "warning" if any(not warning.solved for warning in warnings) else "effective"
