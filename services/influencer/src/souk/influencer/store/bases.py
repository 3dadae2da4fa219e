"""Followers of those who had joined when their campaign started."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, update

from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.ids import ParticipationId
from souk.influencer.domain.participation import Participation
from souk.influencer.store.participations import of_row
from souk.influencer.store.tables import account, participation


async def without_base(work: Work, campaign_id: UUID, after: UUID | None, limit: int) -> list[Participation]:
    """The next `limit` who had joined and have none yet, by id; without a lock."""
    query = (
        select(participation)
        .where(
            participation.c.campaign_id == campaign_id,
            participation.c.state == "joined",
            participation.c.followers_base.is_(None),
            participation.c.account_id.is_not(None),
        )
        .order_by(participation.c.id)
        .limit(limit)
    )
    rows = await work.fetch_all(query if after is None else query.where(participation.c.id > after))
    return [of_row(row) for row in rows]


async def take(work: Work, ids: Sequence[ParticipationId]) -> list[Participation]:
    """Set the base of the locked participations from their accounts; those that got one, by id."""
    rows = await work.fetch_all(
        update(participation)
        .where(
            among(participation.c.id, ids),
            account.c.id == participation.c.account_id,
            account.c.followers.is_not(None),
        )
        .values(followers_base=account.c.followers, version=participation.c.version + 1, changed_at=work.now)
        .returning(participation)
    )
    return sorted((of_row(row) for row in rows), key=lambda one: one.id)
