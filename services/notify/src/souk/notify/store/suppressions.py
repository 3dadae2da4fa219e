"""What this service itself holds back from an influencer, whatever the contact says."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import and_, delete, func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import insert

from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.notify.store.tables import contact, suppression


async def unsubscribe(work: Work, influencer_id: UUID) -> None:
    """Nothing about campaigns or payments any more; nothing changes when that is so already."""
    await _add(work, [(influencer_id, "unsubscribed", "")])


async def hold_back(work: Work, addresses: Sequence[tuple[UUID, str, str]]) -> None:
    """Don't use these addresses again: (influencer, `bounced` or `gone`, address)."""
    await _add(work, addresses)


async def _add(work: Work, rows: Sequence[tuple[UUID, str, str]]) -> None:
    if rows:
        values = [
            {"influencer_id": influencer_id, "cause": cause, "address": address, "at": work.now}
            for influencer_id, cause, address in sorted(set(rows))
        ]
        await work.execute(insert(suppression).values(values).on_conflict_do_nothing())


async def resubscribe(work: Work, influencers: Sequence[UUID]) -> None:
    """The influencer turned the switch on anew: that is a later word than the link in an old mail."""
    await work.execute(
        delete(suppression).where(
            among(suppression.c.influencer_id, influencers), suppression.c.cause == "unsubscribed"
        )
    )


async def forget_unused(work: Work, influencers: Sequence[UUID]) -> None:
    """Drop the addresses that these contacts no longer have, and everything of the erased ones."""
    endpoint = func.jsonb_array_elements(contact.c.push).table_valued("value", name="subscription")
    listed = (
        select(1)
        .select_from(endpoint)
        .where(literal_column("subscription.value ->> 'endpoint'") == suppression.c.address)
        .correlate(contact, suppression)
        .exists()
    )
    await work.execute(
        delete(suppression).where(
            among(suppression.c.influencer_id, influencers),
            contact.c.id == suppression.c.influencer_id,
            or_(
                contact.c.erased,
                and_(
                    suppression.c.cause == "bounced", suppression.c.address.is_distinct_from(contact.c.email)
                ),
                and_(suppression.c.cause == "gone", ~listed),
            ),
        )
    )
