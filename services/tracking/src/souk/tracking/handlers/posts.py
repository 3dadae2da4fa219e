"""What people decide about posts, and billing's answer to one of it (domain.md §4, §6)."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row

from souk.chassis.problems import Refused
from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.reasons import Reason
from souk.contracts.topics.earnings import Earning
from souk.contracts.topics.posts import PostStatus, WarningKind
from souk.tracking.domain import posts as rules
from souk.tracking.handlers.counting import publish, recount
from souk.tracking.store import copies
from souk.tracking.store import posts as store
from souk.tracking.store.tables import post

MOST_POSTS = 500
_FOLLOWED_AT_ONCE = 1000


async def approve(work: Work, *conditions: ColumnElement[bool]) -> list[Row[Any]]:
    """Approve effective and warned posts that meet the conditions; their counted metrics are fixed.

    At most 500, the first in the order that money follows.
    """
    undecided = (post.c.status.in_(rules.FOLLOWED), *conditions)
    first = [each.id for each in await store.places(work, None, MOST_POSTS, *undecided)]
    rows = await store.lock(work, among(post.c.id, first), *undecided)
    await _save_and_publish(
        work, "post.approved", [{"id": row.id, "status": "approved", "approved_at": work.now} for row in rows]
    )
    return rows


async def approve_one(work: Work, row: Row[Any]) -> None:
    """Approving an approved post changes nothing. Raises Refused(wrong_state) for one that is not live."""
    locked = await store.lock(work, post.c.id == row.id)
    if locked[0].status != "approved" and not await approve(work, post.c.id == row.id):
        raise Refused(Reason.WRONG_STATE, f"the post is {locked[0].status}", status_of_post=locked[0].status)


async def make_ineffective(work: Work, row: Row[Any], reason: str) -> None:
    """Its worth goes to zero, and the next live post of the participation may count. No row is removed."""
    locked = await _lock_with_siblings(work, row)
    if locked.status == "ineffective":
        return
    await _change_standing(
        work,
        "post.made_ineffective",
        [{"id": row.id, "status": "ineffective", "reason": reason}],
        {row.participation_id},
    )


async def ask_to_reinstate(work: Work, row: Row[Any]) -> None:
    """An ineffective post waits as `pending` for billing's word on its whole worth.

    Raises Refused(wrong_state) when the post is none that could come back, or lies outside the period.
    """
    locked = await _lock_with_siblings(work, row)
    if locked.status in ("pending", *rules.FOLLOWED):
        return
    terms = (await copies.share_campaigns(work, {row.campaign_id}))[row.campaign_id]
    if locked.status != "ineffective":
        raise Refused(Reason.POST_APPROVED)
    if not rules.Brief((), terms.starts_at, terms.ends_at).covers(locked.published_at):
        raise Refused(Reason.OUTSIDE_PERIOD)
    await _change_standing(work, "post.reinstating", [_pending(locked)], {row.participation_id})


def _pending(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": "pending",
        "reason": None,
        "approved_at": None,
        **store.counted_columns(store.metrics_of(row)),
    }


async def hear_billing(work: Work, earnings: Sequence[Earning]) -> None:
    """Billing's answers: granted, the post is effective again; refused, it stays ineffective as over budget.

    An answer speaks of the version at which the post asked, and of no other.
    """
    answers = {
        (answer.post_id, answer.post_version): answer.granted
        for earning in earnings
        for answer in earning.reinstated
    }
    await copies.hold_campaigns(work, {earning.campaign_id for earning in earnings if earning.reinstated})
    posts = await store.lock(
        work, among(post.c.id, {name for name, _ in answers}), post.c.status == "pending"
    )
    asked = [row for row in posts if (row.id, row.version) in answers]
    granted = [row for row in asked if answers[row.id, row.version]]
    refused = [row for row in asked if not answers[row.id, row.version]]
    await _change_standing(
        work,
        "post.reinstated",
        [
            {
                "id": row.id,
                "status": rules.status_by_warnings("effective", store.warnings_of(row)),
                "reason": None,
            }
            for row in granted
        ],
        {row.participation_id for row in granted},
    )
    await _change_standing(
        work,
        "post.made_ineffective",
        [{"id": row.id, "status": "ineffective", "reason": rules.OVER_BUDGET} for row in refused],
        {row.participation_id for row in refused},
    )


async def solve(work: Work, row: Row[Any], kind: WarningKind) -> None:
    """Close the warning; the next poll won't raise it again for the same cause."""
    locked = (await store.lock(work, post.c.id == row.id))[0]
    before = store.warnings_of(locked)
    after = rules.solve_warnings(before, kind)
    if after != before:
        status: PostStatus = rules.status_by_warnings(locked.status, after)
        values = {"id": row.id, "status": status, "warnings": store.warnings_column(after)}
        await _save_and_publish(work, "post.solved", [values])


async def follow_periods(
    work: Work, campaigns: Collection[UUID], after: store.Place | None
) -> store.Place | None:
    """Judge posts of changed campaigns anew by their periods; the campaigns' rows are held.

    Approved posts stay. One that fell outside is ineffective for that reason, and one that only this
    reason had made so asks to be effective again when the period takes it back. 1,000 at once, in the
    order that money follows: the one to go on after.
    """
    undecided = (among(post.c.campaign_id, campaigns), post.c.status != "approved")
    part = await store.places(work, after, _FOLLOWED_AT_ONCE, *undecided)
    if not part:
        return None
    # With their siblings and in one go: whoever locks several posts takes them by their ids.
    locked = await store.lock(work, among(post.c.participation_id, {each.participation_id for each in part}))
    named = {each.id for each in part}
    rows = [row for row in locked if row.id in named and row.status != "approved"]
    terms = await copies.share_campaigns(work, campaigns)
    fallen, back = [], []
    for row in rows:
        period = rules.Brief((), terms[row.campaign_id].starts_at, terms[row.campaign_id].ends_at)
        inside = period.covers(row.published_at)
        if not inside and row.status != "ineffective":
            fallen.append(row)
        elif inside and row.status == "ineffective" and row.reason == rules.OUTSIDE_PERIOD:
            back.append(row)
    await _change_standing(
        work,
        "post.made_ineffective",
        [{"id": row.id, "status": "ineffective", "reason": rules.OUTSIDE_PERIOD} for row in fallen],
        {row.participation_id for row in rows},
    )
    await _change_standing(
        work, "post.reinstating", [_pending(row) for row in back], {row.participation_id for row in back}
    )
    return part[-1] if len(part) == _FOLLOWED_AT_ONCE else None


async def _lock_with_siblings(work: Work, row: Row[Any]) -> Row[Any]:
    """The post, locked after its campaign and participation, which decide with it which post counts."""
    await copies.share_campaigns(work, {row.campaign_id})
    await copies.lock_participations(work, {row.participation_id})
    siblings = await store.lock(work, post.c.participation_id == row.participation_id)
    return next(each for each in siblings if each.id == row.id)


async def _change_standing(
    work: Work, event: str, values: Sequence[dict[str, Any]], participations: Collection[UUID]
) -> None:
    changed = {row["id"] for row in values}
    await store.save(work, values)
    flipped = await recount(work, participations, bumped=changed)
    rows = await store.read(work, changed | flipped)
    publish(work, [(event if row.id in changed else "post.changed", row) for row in rows])


async def _save_and_publish(work: Work, event: str, values: Sequence[dict[str, Any]]) -> None:
    await store.save(work, values)
    for row in await store.read(work, {each["id"] for each in values}):
        work.publish(event, store.post_state(row))
