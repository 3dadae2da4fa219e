"""Which change of a state is told to whom, each once (domain.md §7).

A notice's occurrence tells one change from the next of the same thing. It is taken from the state
itself, so that whoever reads that state again, in whatever batch, names the same notice.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from souk.contracts.topics.budgets import Budget
from souk.contracts.topics.participations import Participation
from souk.contracts.topics.payments import Payment
from souk.contracts.topics.posts import Post, PostStatus
from souk.notify.domain.definitions import Kind

PaymentStatus = Literal["reviewing", "paid", "failed"]

NEWS = timedelta(days=30)
"""What is older isn't told any more."""
KEPT = timedelta(days=180)
"""How long deliveries are: longer than something is news, so that reading old topics again finds either the
delivery or something too old."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell one influencer.

    subject: what it is about, with `occurrence` its identity. campaign_id: None when it is about money.
    at: when it happened, by which it is news.
    """

    kind: Kind
    influencer_id: UUID
    subject: UUID
    campaign_id: UUID | None
    occurrence: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Exhaustion:
    """A campaign went over its budget, as billing judged `budget_version`."""

    campaign_id: UUID
    at: datetime
    budget_version: int


def instant(at: datetime) -> str:
    """An instant as an occurrence."""
    return at.isoformat(timespec="microseconds")


def is_news(at: datetime, now: datetime) -> bool:
    return at > now - NEWS


def of_participation(participation: Participation) -> Notice | None:
    """Approved: joined after having applied. Rejected: once for each application."""
    applied_at = participation.applied_at
    if applied_at is None:
        return None
    kind: Kind
    match participation.state, participation.joined_at:
        case "joined", datetime() as joined_at:
            kind, occurrence, at = "participation.approved", instant(joined_at), joined_at
        case "rejected", _:
            # When isn't in the state, and edits move its changed_at. While the application is young enough
            # a delivery made for it is still kept, so that it is found.
            kind, occurrence = "participation.rejected", instant(applied_at)
            at = min(participation.changed_at, applied_at + KEPT - NEWS)
        case _:
            return None
    return Notice(
        kind, participation.influencer_id, participation.id, participation.campaign_id, occurrence, at
    )


def of_post(before: PostStatus | None, post: Post) -> Notice | None:
    """Approved, or newly ineffective; a refused reinstatement leaves it what it was.

    before: its status as last known here, None when it wasn't.
    """
    kind: Kind
    if post.status == "approved" and post.approved_at is not None:
        kind, occurrence, at = "post.approved", instant(post.approved_at), post.approved_at
    elif post.status == "ineffective" and before not in ("ineffective", "pending"):
        kind, occurrence, at = "post.ineffective", str(post.version), post.changed_at
    else:
        return None
    return Notice(kind, post.influencer_id, post.id, post.campaign_id, occurrence, at)


def of_payment(before: PaymentStatus | None, payment: Payment) -> Notice | None:
    """Made and paid are told once, failed each time it fails anew.

    before: its status as last known here, None when it wasn't.
    """
    if payment.status == before:
        return None
    kind: Kind
    if payment.status == "paid":
        kind, occurrence = "payment.paid", ""
    elif payment.status == "failed":
        kind, occurrence = "payment.failed", str(payment.version)
    elif before is None:
        kind, occurrence = "payment.made", ""
    else:
        return None
    return Notice(kind, payment.influencer_id, payment.id, None, occurrence, payment.changed_at)


def exhaustion_of(budget: Budget) -> Exhaustion | None:
    if budget.status != "exhausted" or budget.exhausted_at is None:
        return None
    return Exhaustion(budget.campaign_id, budget.exhausted_at, budget.budget_version)
