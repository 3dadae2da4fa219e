"""How influencers are reached, and what changes when that changes."""

from collections.abc import Sequence
from uuid import UUID

from souk.chassis import idempotency
from souk.chassis.work import Work
from souk.contracts.topics.contacts import Contact
from souk.notify.domain.changes import changes
from souk.notify.domain.tokens import verify
from souk.notify.handlers.telling import pass_on
from souk.notify.store import copies, deliveries, suppressions
from souk.notify.store.tables import contact


async def keep_contacts(work: Work, contacts: Sequence[Contact]) -> None:
    """Keep the contacts and decide the deliveries that waited for them."""
    known = await copies.known(work, contact, "notifications", (one.id for one in contacts))
    turned_on = {
        one.id
        for before, one in changes(contacts, known, lambda one: one.notifications)
        if (before, one.notifications) == ("off", "on")
    }
    changed = sorted(await copies.store_contacts(work, contacts))
    if not changed:
        return
    if turned_on:
        await suppressions.resubscribe(work, sorted(turned_on))
    await suppressions.forget_unused(work, changed)
    for erased in {one.id for one in contacts if one.erased}:
        await idempotency.forget(work, erased)
    await pass_on(work, await deliveries.settle_for(work, changed))


async def unsubscribe(work: Work, secret: bytes, token: str) -> UUID | None:
    """Turn notices off for the influencer whom the token was made for; None when it isn't one of ours."""
    influencer_id = verify(secret, token)
    if influencer_id is not None:
        await suppressions.unsubscribe(work, influencer_id)
    return influencer_id
