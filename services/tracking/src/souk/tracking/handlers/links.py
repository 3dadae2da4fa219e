"""Every participation that is joined in a `url` campaign has its tracking link (domain.md §5)."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.ids import LinkId, ParticipationId, link_id
from souk.tracking.domain.links import can_lead_to, slug_of
from souk.tracking.store import links as store
from souk.tracking.store.tables import link

_FOLLOWED_AT_ONCE = 1000


async def follow(
    work: Work,
    campaigns: Collection[UUID],
    after: UUID | None,
    participations: Collection[UUID] | None = None,
    *,
    public_url: str,
) -> UUID | None:
    """Make and adjust links of these campaigns, whose rows are held; the participation to go on after.

    participations: only their links, all of them; None for the next 1,000 of the campaigns.
    A link whose campaign has no URL that can be led to waits for one. After a withdrawal it leads on, but
    is not active any more.
    """
    at_once = _FOLLOWED_AT_ONCE if participations is None else None
    rows = await store.taking_part(work, campaigns, participations, after, at_once)
    wanted = {link_id(ParticipationId(row.id)): row for row in rows if can_lead_to(row.landing_url)}
    await store.expect(
        work,
        [
            {
                "id": name,
                "version": 0,
                "changed_at": work.now,
                "campaign_id": row.campaign_id,
                "participation_id": row.id,
            }
            for name, row in sorted(wanted.items())
            if row.state == "joined"
        ],
    )
    locked = await store.lock(work, among(link.c.id, wanted))
    slugs = await _new_slugs(work, [LinkId(row.id) for row in locked if row.slug is None])
    made: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    for row in locked:
        values = _values(row, wanted[row.id], slugs.get(row.id), public_url)
        if values is not None:
            (made if row.slug is None else changed).append(values)
    for event, several in (("link.made", made), ("link.changed", changed)):
        await store.save(work, several)
        for row in await store.read(work, {values["id"] for values in several}):
            work.publish(event, store.link_state(row))
    return rows[-1].id if len(rows) == at_once else None


def _values(row: Row[Any], takes_part: Row[Any], slug: str | None, public_url: str) -> dict[str, Any] | None:
    slug = slug or row.slug
    values = {
        "id": row.id,
        "participation_id": takes_part.id,
        "campaign_id": takes_part.campaign_id,
        "influencer_id": takes_part.influencer_id,
        "slug": slug,
        "url": f"{public_url.rstrip('/')}/r/{slug}",
        "landing_url": takes_part.landing_url,
        "active": takes_part.state == "joined",
    }
    return None if all(getattr(row, name) == value for name, value in values.items()) else values


async def _new_slugs(work: Work, links: Collection[LinkId]) -> dict[LinkId, str]:
    """A free slug for each; the next attempt where another link was given the same."""
    chosen: dict[LinkId, str] = {}
    waiting, attempt = sorted(links), 0
    while waiting:
        slugs = {name: slug_of(name, attempt) for name in waiting}
        taken = await store.slugs_taken(work, slugs.values()) | set(chosen.values())
        for name, slug in slugs.items():
            if slug not in taken:
                chosen[name] = slug
                taken.add(slug)
        waiting, attempt = [name for name in waiting if name not in chosen], attempt + 1
    return chosen
