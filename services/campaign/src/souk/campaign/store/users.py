"""Users: their own levels, and the personal data that stays here."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, bindparam, false, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from souk.campaign.store.tables import organisation, user
from souk.chassis.auth import Principal
from souk.chassis.prepared import Prepared
from souk.chassis.problems import Refused
from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.permissions import Area, Level
from souk.contracts.reasons import Reason
from souk.contracts.topics.users import User

_LEVELS = Prepared(
    select(user.c.levels, (user.c.active & organisation.c.active).label("active"))
    .join(organisation, organisation.c.id == user.c.organisation_id)
    .where(user.c.id == bindparam("user"), user.c.organisation_id == bindparam("of"))
)


def visible_to(who: Principal) -> ColumnElement[bool]:
    """Staff see all; everyone else those of their own organisation."""
    if who.role == "staff":
        return true()
    if who.organisation_id is None:
        return false()
    return user.c.organisation_id == who.organisation_id


def seen_by(who: Principal, organisation_id: UUID | None) -> Select[Any]:
    query = select(user).where(visible_to(who))
    if organisation_id is not None:
        query = query.where(user.c.organisation_id == organisation_id)
    return query


async def find(work: Work, user_id: UUID, who: Principal) -> Row[Any]:
    """Raises Refused(unknown_user)."""
    return _known(await work.fetch_one(select(user).where(user.c.id == user_id, visible_to(who))))


async def lock(work: Work, user_id: UUID, who: Principal) -> Row[Any]:
    """For an edit. Raises Refused(unknown_user)."""
    statement = select(user).where(user.c.id == user_id, visible_to(who))
    return _known(await work.fetch_one(statement.with_for_update()))


async def levels_of(work: Work, who: Principal) -> Mapping[Area, Level]:
    """The caller's own levels; none at all in any area once the user or their organisation is inactive.

    Empty for a subject that is no user of their organisation, so that the defaults of the role hold:
    deactivating an organisation stops its users, not a token that the issuer gives out for it without one.
    """
    found = await work.run(_LEVELS, {"user": who.user_id, "of": who.organisation_id})
    if not found:
        return {}
    row = found[0]
    if not row.active:
        return dict.fromkeys(get_args(Area), Level.NONE)
    return {area: Level(level) for area, level in row.levels.items()}


async def unknown_staff(work: Work, ids: Collection[UUID]) -> set[UUID]:
    """Those of `ids` that are no active user of a platform organisation."""
    statement = (
        select(user.c.id)
        .join(organisation, organisation.c.id == user.c.organisation_id)
        .where(among(user.c.id, ids), user.c.active, organisation.c.kind == "platform")
    )
    return set(ids) - {row.id for row in await work.fetch_all(statement)}


async def add(work: Work, values: Mapping[str, Any]) -> Row[Any]:
    """Insert at version 1. Raises Refused(conflict) when the id or the organisation's e-mail is taken."""
    written = await work.fetch_one(
        insert(user)
        .values(version=1, created_at=work.now, changed_at=work.now, **values)
        .on_conflict_do_nothing()
        .returning(user)
    )
    if written is None:
        raise Refused(Reason.CONFLICT, "this id or e-mail address is taken")
    return written


async def change(work: Work, row: Row[Any], changes: Mapping[str, Any]) -> Row[Any]:
    """Write `changes` to the locked row, at the next version. Raises Refused as `add` does."""
    statement = (
        update(user)
        .where(user.c.id == row.id)
        .values(version=row.version + 1, changed_at=work.now, **changes)
        .returning(user)
    )
    try:
        return _known(await work.fetch_one(statement))
    except IntegrityError:
        raise Refused(Reason.CONFLICT, "this e-mail address is taken") from None


async def advance(work: Work, organisation_id: UUID) -> Sequence[Row[Any]]:
    """The users of the locked organisation, each at its next version: what they take from it has changed.

    All at once: organisations have users by the hundred, and 5,000 take half a second.
    """
    theirs = user.c.organisation_id == organisation_id
    # By id, as republishing takes them: two who lock in another order could wait for each other.
    await work.execute(select(user.c.id).where(theirs).order_by(user.c.id).with_for_update())
    return await work.fetch_all(
        update(user).where(theirs).values(version=user.c.version + 1, changed_at=work.now).returning(user)
    )


async def after(work: Work, after_id: UUID | None, limit: int) -> list[User]:
    """The next users by id, locked, to be published again."""
    statement = select(user).order_by(user.c.id).limit(limit).with_for_update()
    if after_id is not None:
        statement = statement.where(user.c.id > after_id)
    rows = await work.fetch_all(statement)
    # Asked for once the users are locked: in one statement with them it could be as of before the wait.
    homes = select(organisation.c.id, organisation.c.active).where(
        among(organisation.c.id, {row.organisation_id for row in rows})
    )
    in_service = {home.id: home.active for home in await work.fetch_all(homes)}
    return [user_state(row, in_service=in_service[row.organisation_id]) for row in rows]


def user_state(row: Row[Any], *, in_service: bool) -> User:
    """Ids and levels alone: name and e-mail are on no topic.

    in_service: whether the organisation is active. Other services ask the user's state alone, so it calls
    a user active only while both are.
    """
    return User(
        id=row.id,
        version=row.version,
        changed_at=row.changed_at,
        organisation_id=row.organisation_id,
        levels=row.levels,
        active=row.active and in_service,
    )


def _known(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise Refused(Reason.UNKNOWN_USER)
    return row
