"""The pool of referral codes: N codes admit N (domain.md §3)."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Column,
    Integer,
    Row,
    Select,
    Uuid,
    func,
    literal,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from souk.chassis.work import Work
from souk.contracts.ids import CampaignId, ParticipationId
from souk.influencer.store.tables import referral_code, referral_pool


async def lock_pool(work: Work, campaign_id: UUID) -> Row[Any]:
    """How many codes there are and how many are given away; made when there is none."""
    await work.execute(
        insert(referral_pool)
        .values(campaign_id=campaign_id, codes=0, assigned=0)
        .on_conflict_do_nothing(index_elements=["campaign_id"])
    )
    pool = await work.fetch_one(
        select(referral_pool).where(referral_pool.c.campaign_id == campaign_id).with_for_update()
    )
    if pool is None:
        raise LookupError(f"no pool of {campaign_id}")
    return pool


async def add(
    work: Work, campaign_id: UUID, advertiser_id: UUID, after: int, codes: Sequence[str]
) -> set[str]:
    """Append `codes` behind position `after` of the locked pool; those that are new."""
    rows = [
        {"campaign_id": campaign_id, "advertiser_id": advertiser_id, "position": position, "code": code}
        for position, code in enumerate(codes, after + 1)
    ]
    statement = insert(referral_code).values(rows)
    statement = statement.on_conflict_do_nothing(
        index_elements=[referral_code.c.advertiser_id, func.lower(literal_column("code"))]
    )
    added = set((await work.execute(statement.returning(referral_code.c.code))).scalars())
    await work.execute(
        update(referral_pool)
        .where(referral_pool.c.campaign_id == campaign_id)
        .values(codes=referral_pool.c.codes + len(added))
    )
    return added


async def take(
    work: Work, campaign_id: CampaignId, takers: Sequence[ParticipationId]
) -> dict[ParticipationId, str]:
    """Give the lowest free codes to `takers` in their order; who comes after the last code is left out.

    The pool's row lock lasts until the commit, so a concurrent join sees what was really given away.
    """
    if not takers:
        return {}
    pool = await lock_pool(work, campaign_id)
    first = pool.assigned + 1
    served = dict(enumerate(takers[: pool.codes - pool.assigned], first))
    if not served:
        return {}
    free = select(referral_code).where(
        referral_code.c.campaign_id == campaign_id,
        referral_code.c.position.between(first, first + len(served) - 1),
    )
    given = {served[row.position]: row.code for row in await work.fetch_all(free)}
    taking = (
        func.unnest(literal(list(served), ARRAY(Integer)), literal(list(served.values()), ARRAY(Uuid)))
        .table_valued(Column("position", Integer), Column("taker", Uuid), name="taking")
        .render_derived(name="taking")
    )
    await work.execute(
        update(referral_code)
        .where(referral_code.c.campaign_id == campaign_id, referral_code.c.position == taking.c.position)
        .values(participation_id=taking.c.taker)
    )
    await work.execute(
        update(referral_pool)
        .where(referral_pool.c.campaign_id == campaign_id)
        .values(assigned=pool.assigned + len(served))
    )
    return given


def listed(campaign_id: UUID) -> Select[Any]:
    return select(referral_code).where(referral_code.c.campaign_id == campaign_id)
