"""Read copies of other services' states: only the columns that billing uses."""

from collections.abc import Mapping, Sequence
from typing import get_args

from sqlalchemy import select

from souk.billing.store.tables import influencer, member, payee
from souk.chassis.auth import Principal
from souk.chassis.store import upsert_newer
from souk.chassis.work import Work
from souk.contracts.permissions import Area, Level
from souk.contracts.topics.influencers import Influencer
from souk.contracts.topics.payees import Payee
from souk.contracts.topics.users import User


async def keep_users(work: Work, states: Sequence[User]) -> None:
    rows = [
        {
            "id": s.id,
            "version": s.version,
            "organisation_id": s.organisation_id,
            "levels": {a: int(v) for a, v in s.levels.items()},
            "active": s.active,
        }
        for s in states
    ]
    await upsert_newer(work, member, rows)


async def keep_influencers(work: Work, states: Sequence[Influencer]) -> None:
    rows = [
        {"id": s.id, "version": s.version, "country": s.country, "talent_agency_id": s.talent_agency_id}
        for s in states
    ]
    await upsert_newer(work, influencer, rows)


async def keep_payees(work: Work, states: Sequence[Payee]) -> None:
    rows = [
        {
            "id": s.id,
            "version": s.version,
            "country": s.country,
            "payment_mode": s.payment_mode,
            "consumption_tax_registered": s.consumption_tax_registered,
            "erased": s.erased,
        }
        for s in states
    ]
    await upsert_newer(work, payee, rows)


async def permissions_of(work: Work, who: Principal) -> Mapping[Area, Level]:
    """The caller's own levels; nothing for one who is inactive, as all of an inactive organisation are.

    Empty for a subject that is no user of their organisation here, so that the defaults of the role hold:
    deactivating an organisation stops its users, not a token that the issuer gives out for it without one.
    """
    own = (member.c.id == who.user_id, member.c.organisation_id == who.organisation_id)
    row = await work.fetch_one(select(member.c.levels, member.c.active).where(*own))
    if row is None:
        return {}
    if not row.active:
        return dict.fromkeys(get_args(Area), Level.NONE)
    return {area: Level(level) for area, level in row.levels.items()}
