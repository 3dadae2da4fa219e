"""Influencers' accounts as the rules need them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.ids import AccountId
from souk.influencer.domain.eligibility import Account, Profile
from souk.influencer.store.tables import account


async def of_influencers(work: Work, influencers: Collection[UUID]) -> Mapping[UUID, Sequence[Account]]:
    rows = await work.fetch_all(
        select(account).where(among(account.c.influencer_id, influencers)).order_by(account.c.id)
    )
    found: dict[UUID, list[Account]] = {influencer: [] for influencer in influencers}
    for row in rows:
        found[row.influencer_id].append(
            Account(AccountId(row.id), row.platform, row.connection, row.followers)
        )
    return found


def profile_of(row: Row[Any], accounts: Sequence[Account]) -> Profile:
    """row: of `influencer`."""
    return Profile(
        signed_up_at=row.signed_up_at,
        region=row.region,
        categories=tuple(row.categories),
        gender=row.gender,
        birth_date=row.birth_date,
        accounts=tuple(accounts),
    )
