"""Posts that were approved or made ineffective."""

from collections.abc import Sequence

from souk.chassis.work import Work
from souk.contracts.topics.posts import Post
from souk.notify.domain.changes import changes
from souk.notify.domain.notices import of_post
from souk.notify.handlers.telling import tell
from souk.notify.store import copies
from souk.notify.store.tables import post


async def keep_posts(work: Work, posts: Sequence[Post]) -> None:
    known = await copies.known(work, post, "status", (one.id for one in posts))
    await tell(
        work,
        [
            notice
            for before, one in changes(posts, known, lambda one: one.status)
            if (notice := of_post(before, one))
        ],
    )
    await copies.store_posts(work, posts)
