"""Influencers, their contacts and payees."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Table, select, true, update
from sqlalchemy.dialects.postgresql import insert

from souk.chassis.auth import Principal
from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.ids import InfluencerId
from souk.contracts.topics.contacts import Contact, PushSubscription
from souk.contracts.topics.influencers import Influencer
from souk.contracts.topics.payees import Payee
from souk.influencer.store.tables import contact, influencer, payee, reach
from souk.influencer.store.tenants import own_influencers

_DETAIL = select(influencer, reach.c.followers, reach.c.engagement).outerjoin_from(
    influencer, reach, reach.c.influencer_id == influencer.c.id
)


async def find(work: Work, influencer_id: UUID, who: Principal) -> Row[Any] | None:
    """With reach; None when unknown, erased or not the caller's."""
    return await work.fetch_one(
        _DETAIL.where(influencer.c.id == influencer_id, influencer.c.erased.is_(False), own_influencers(who))
    )


async def lock(work: Work, influencer_id: UUID, who: Principal) -> Row[Any] | None:
    """Erased ones included."""
    return await work.fetch_one(
        select(influencer).where(influencer.c.id == influencer_id, own_influencers(who)).with_for_update()
    )


async def lock_many(work: Work, ids: Sequence[UUID], who: Principal | None) -> dict[InfluencerId, Row[Any]]:
    """Those that are there, not erased and, with `who`, the caller's; locked in the order of their ids.

    Everything that makes or changes participations of an influencer begins with this lock, or `lock`; then
    come the campaign's and the participation's own.
    """
    mine = true() if who is None else own_influencers(who)
    rows = await work.fetch_all(
        select(influencer)
        .where(among(influencer.c.id, ids), influencer.c.erased.is_(False), mine)
        .order_by(influencer.c.id)
        .with_for_update(key_share=True)
    )
    return {InfluencerId(row.id): row for row in rows}


async def insert_new(work: Work, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[Row[Any]]:
    """Insert those of `rows` whose id is new; the rows that were. Waits for a concurrent insert of an id."""
    statement = insert(table).on_conflict_do_nothing(index_elements=["id"]).returning(table)
    # In one order, so that two imports of the same ids can't wait for each other.
    ordered = sorted(rows, key=lambda row: row["id"])
    return list((await work.execute(statement.values(ordered))).all())


async def existing(work: Work, table: Table, ids: Sequence[UUID]) -> dict[UUID, Row[Any]]:
    rows = await work.fetch_all(select(table).where(among(table.c.id, ids)))
    return {row.id: row for row in rows}


async def part(work: Work, table: Table, influencer_id: UUID, *, lock: bool = False) -> Row[Any]:
    """The contact or payee of an influencer that is there."""
    query = select(table).where(table.c.id == influencer_id)
    row = await work.fetch_one(query.with_for_update() if lock else query)
    if row is None:
        raise LookupError(f"no {table.name} of {influencer_id}")
    return row


async def change(work: Work, table: Table, row: Row[Any], values: Mapping[str, Any]) -> Row[Any]:
    """The locked `row` at its next version."""
    changed = await work.fetch_one(
        update(table)
        .where(table.c.id == row.id)
        .values(version=row.version + 1, changed_at=work.now, **values)
        .returning(table)
    )
    if changed is None:
        raise LookupError(f"no {table.name} {row.id}")
    return changed


def influencer_state(row: Row[Any]) -> Influencer:
    return Influencer(
        id=row.id,
        version=row.version,
        changed_at=row.changed_at,
        display_name=row.display_name,
        country=row.country,
        region=row.region,
        categories=tuple(row.categories),
        tags=tuple(row.tags),
        talent_agency_id=row.talent_agency_id,
        signed_up_at=row.signed_up_at,
        erased=row.erased,
    )


def contact_state(row: Row[Any]) -> Contact:
    return Contact(
        id=row.id,
        version=row.version,
        changed_at=row.changed_at,
        email=row.email,
        locale=row.locale,
        notifications=row.notifications,
        push=tuple(PushSubscription(**subscription) for subscription in row.push),
        erased=row.erased,
    )


def payee_state(row: Row[Any]) -> Payee:
    return Payee(
        id=row.id,
        version=row.version,
        changed_at=row.changed_at,
        country=row.country,
        payment_mode=row.payment_mode,
        legal_name=row.legal_name,
        bank_account=row.bank_account,
        tax_id=row.tax_id,
        consumption_tax_registered=row.consumption_tax_registered,
        erased=row.erased,
    )


async def influencers_after(work: Work, after: UUID | None, limit: int) -> list[Influencer]:
    return [influencer_state(row) for row in await _after(work, influencer, after, limit)]


async def contacts_after(work: Work, after: UUID | None, limit: int) -> list[Contact]:
    return [contact_state(row) for row in await _after(work, contact, after, limit)]


async def payees_after(work: Work, after: UUID | None, limit: int) -> list[Payee]:
    return [payee_state(row) for row in await _after(work, payee, after, limit)]


async def _after(work: Work, table: Table, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    query = select(table).order_by(table.c.id).limit(limit).with_for_update()
    return await work.fetch_all(query if after is None else query.where(table.c.id > after))
