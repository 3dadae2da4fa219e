"""Organisations: who may see them, and how they are locked and written."""

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, bindparam, false, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert

from souk.campaign.store.tables import organisation
from souk.chassis.auth import ROLES, Principal
from souk.chassis.prepared import Prepared
from souk.chassis.problems import Refused
from souk.chassis.work import Work
from souk.contracts.permissions import Role
from souk.contracts.reasons import Reason
from souk.contracts.topics.organisations import Organisation, OrganisationKind


def visible_to(who: Principal) -> ColumnElement[bool]:
    """Staff see all; an agency itself and its advertisers; an advertiser itself and its agency; a talent
    agency itself."""
    return _visible(who.role, who.organisation_id)


def _visible(role: Role, their: Any) -> ColumnElement[bool]:
    """their: the id of the caller's organisation, or the parameter that will name it."""
    table = organisation.c
    if role == "staff":
        return true()
    if their is None:
        return false()
    own: ColumnElement[bool] = table.id == their
    if role == "agency":
        return or_(own, table.agency_id == their)
    if role == "advertiser":
        agency = select(table.agency_id).where(own).scalar_subquery()
        return or_(own, table.id == agency)
    return own


_FIND = {
    role: Prepared(
        select(organisation).where(
            organisation.c.id == bindparam("organisation"),
            _visible(role, None if role == "influencer" else bindparam("their")),
        )
    )
    for role in ROLES
}
_ADD = Prepared(insert(organisation).on_conflict_do_nothing().returning(organisation))


def seen_by(who: Principal, kind: OrganisationKind | None, agency_id: UUID | None) -> Select[Any]:
    query = select(organisation).where(visible_to(who))
    if kind is not None:
        query = query.where(organisation.c.kind == kind)
    if agency_id is not None:
        query = query.where(organisation.c.agency_id == agency_id)
    return query


async def find(work: Work, organisation_id: UUID, who: Principal) -> Row[Any]:
    """Raises Refused(unknown_organisation)."""
    found = await work.run(_FIND[who.role], {"organisation": organisation_id, "their": who.organisation_id})
    return _known(found[0] if found else None)


async def lock(work: Work, organisation_id: UUID, who: Principal) -> Row[Any]:
    """For an edit. Raises Refused(unknown_organisation)."""
    statement = select(organisation).where(organisation.c.id == organisation_id, visible_to(who))
    return _known(await work.fetch_one(statement.with_for_update()))


async def share(work: Work, organisation_id: UUID | None, who: Principal) -> Row[Any]:
    """The organisation, kept as it is until the unit commits. Raises Refused(unknown_organisation)."""
    statement = select(organisation).where(organisation.c.id == organisation_id, visible_to(who))
    return _known(await work.fetch_one(statement.with_for_update(read=True)))


async def hold(work: Work, organisation_id: UUID, kind: OrganisationKind, who: Principal) -> Row[Any] | None:
    """The active organisation of that kind, kept from changing until the unit commits; None without one."""
    statement = select(organisation).where(
        organisation.c.id == organisation_id,
        organisation.c.kind == kind,
        organisation.c.active,
        visible_to(who),
    )
    return await work.fetch_one(statement.with_for_update(read=True))


async def add(work: Work, values: Mapping[str, Any]) -> Row[Any]:
    """Insert at version 1. Raises Refused(conflict) when the id is taken."""
    row = {"agency_id": None, "version": 1, "created_at": work.now, "changed_at": work.now, **values}
    written = await work.run(_ADD, row)
    if not written:
        raise Refused(Reason.CONFLICT, "this id is taken")
    return cast("Row[Any]", written[0])


async def change(work: Work, row: Row[Any], changes: Mapping[str, Any]) -> Row[Any]:
    """Write `changes` to the locked row, at the next version."""
    written = await work.fetch_one(
        update(organisation)
        .where(organisation.c.id == row.id)
        .values(version=row.version + 1, changed_at=work.now, **changes)
        .returning(organisation)
    )
    return _known(written)


async def after(work: Work, after_id: UUID | None, limit: int) -> list[Organisation]:
    """The next organisations by id, locked, to be published again."""
    statement = select(organisation).order_by(organisation.c.id).limit(limit).with_for_update()
    if after_id is not None:
        statement = statement.where(organisation.c.id > after_id)
    return [organisation_state(row) for row in await work.fetch_all(statement)]


def organisation_state(row: Row[Any]) -> Organisation:
    return Organisation(
        id=row.id,
        version=row.version,
        changed_at=row.changed_at,
        kind=row.kind,
        name=row.name,
        country=row.country,
        agency_id=row.agency_id,
        active=row.active,
    )


def _known(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise Refused(Reason.UNKNOWN_ORGANISATION)
    return row
