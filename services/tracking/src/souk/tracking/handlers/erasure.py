"""An erased influencer is nowhere in what tracking keeps (domain.md §9.5)."""

from collections.abc import Collection
from uuid import UUID

from souk.chassis import idempotency
from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.tracking.store import accounts, contents, copies, posts, unsent
from souk.tracking.store.tables import post


async def erase(work: Work, newer: Collection[UUID]) -> None:
    """Forget accounts, content and titles of those of `newer` who are erased; what they earned stays.

    Accounts, then posts, each of all people at once: the order in which a poll locks them.
    """
    erased = await copies.erased_among(work, newer)
    if not erased:
        return
    theirs = await accounts.lock_of_influencers(work, erased)
    for row in theirs:
        forgotten = {
            "handle": "",
            "external_id": f"erased-{row.id}",
            "followers": None,
            "usual_likes": None,
            "connection": "stale",
        }
        changed = await accounts.change(work, row.id, forgotten)
        work.publish("account.disconnected", accounts.account_state(changed))
    await accounts.note(
        work, [{"b_id": row.id, "token": None, "uploads": None, "video_count": None} for row in theirs]
    )
    await contents.remove_of(work, {row.id for row in theirs})
    their_posts = await posts.lock(work, among(post.c.influencer_id, erased))
    await posts.save(
        work,
        [{"id": row.id, "external_id": f"erased-{row.id}", "url": "", "title": ""} for row in their_posts],
    )
    for row in await posts.read(work, {row.id for row in their_posts}):
        work.publish("post.changed", posts.post_state(row))
    await unsent.remove(work, {row.id for row in (*theirs, *their_posts)})
    for person in sorted(erased):
        await idempotency.forget(work, person)
