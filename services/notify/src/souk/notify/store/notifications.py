"""In-app notices as their reader sees them: deliveries on that channel that were not held back."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, func, select, update

from souk.chassis.work import Work
from souk.contracts.ids import InfluencerId
from souk.notify.store.tables import delivery


def of(influencer_id: InfluencerId, read: bool | None) -> Select[Any]:
    found = select(delivery).where(_shown_to(influencer_id))
    if read is None:
        return found
    return found.where(delivery.c.read_at.is_not(None) if read else delivery.c.read_at.is_(None))


async def read(work: Work, influencer_id: InfluencerId, notification_id: UUID) -> Row[Any] | None:
    """The notice, read now or before; None when there is no such notice of this influencer."""
    return await work.fetch_one(
        update(delivery)
        .where(_shown_to(influencer_id), delivery.c.id == notification_id)
        .values(read_at=func.coalesce(delivery.c.read_at, work.now))
        .returning(delivery)
    )


async def read_all(work: Work, influencer_id: InfluencerId) -> int:
    """How many were unread."""
    unread = and_(_shown_to(influencer_id), delivery.c.read_at.is_(None))
    return (await work.execute(update(delivery).where(unread).values(read_at=work.now))).rowcount


def _shown_to(influencer_id: InfluencerId) -> ColumnElement[bool]:
    return and_(
        delivery.c.influencer_id == influencer_id, delivery.c.channel == "in_app", delivery.c.status == "sent"
    )
