"""An erased influencer is nowhere in what tracking keeps (domain.md §9.5)."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import delete, select, text, update

from souk.chassis import idempotency
from souk.chassis.work import Work
from souk.tracking.store import accounts, posts
from souk.tracking.store.tables import account, content, influencer, post


async def erase(work: Work, newer: Collection[UUID]) -> None:
    """Forget accounts, content and titles of those of `newer` who are erased; what they earned stays."""
    erased = await work.fetch_all(
        select(influencer.c.id)
        .where(influencer.c.id.in_(newer), influencer.c.erased)
        .order_by(influencer.c.id)
    )
    for person in erased:
        await _erase_one(work, person.id)


async def _erase_one(work: Work, person: UUID) -> None:
    rows = await work.fetch_all(
        select(account).where(account.c.influencer_id == person).order_by(account.c.id).with_for_update()
    )
    for row in rows:
        forgotten = {
            "handle": "",
            "external_id": f"erased-{row.id}",
            "followers": None,
            "usual_likes": None,
            "connection": "stale",
        }
        changed = await accounts.change(work, row.id, forgotten)
        work.publish("account.disconnected", accounts.account_state(changed))
    ids = [row.id for row in rows]
    await work.execute(
        update(account).where(account.c.id.in_(ids)).values(token=None, uploads=None, video_count=None)
    )
    await work.execute(delete(content).where(content.c.account_id.in_(ids)))
    theirs = await posts.lock(work, post.c.influencer_id == person)
    await posts.save(
        work,
        [{"id": row.id, "external_id": f"erased-{row.id}", "url": "", "title": ""} for row in theirs],
    )
    for row in await posts.read(work, {row.id for row in theirs}):
        work.publish("post.changed", posts.post_state(row))
    # Outbox rows of theirs that are still on their way tell an older version.
    await work.execute(
        text("DELETE FROM outbox WHERE key = ANY(:keys)"),
        {"keys": [str(row.id).encode() for row in (*rows, *theirs)]},
    )
    await idempotency.forget(work, person)
