"""Users are kept by staff, and by an organisation's own managers for theirs."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row

from souk.campaign.domain.levels import NOTHING, beyond, effective, raised
from souk.campaign.store import organisations, users
from souk.chassis.auth import Principal
from souk.chassis.problems import Refused
from souk.chassis.work import Work
from souk.contracts.permissions import DEFAULTS, Area, Level
from souk.contracts.reasons import Reason


async def create(work: Work, who: Principal, values: Mapping[str, Any]) -> Row[Any]:
    """values: by column; without an `id` it gets a new one, without an organisation the caller's own.

    Raises Refused(unknown_organisation) for an organisation whose users the caller doesn't keep,
    Refused(forbidden) when the new user's levels, the defaults included, go beyond the caller's.
    """
    home_id = values.get("organisation_id", who.organisation_id)
    if who.role != "staff" and home_id != who.organisation_id:
        raise Refused(Reason.UNKNOWN_ORGANISATION)
    home = await organisations.share(work, home_id, who)
    given = effective(home.kind, values.get("levels", {}), active=True)
    await _check_raise(work, who, NOTHING, given)
    defaults = {"id": work.new_id(), "organisation_id": home.id, "levels": {}, "active": True}
    row = await users.add(work, defaults | dict(values))
    work.publish("user.created", users.user_state(row, in_service=home.active))
    return row


async def edit(work: Work, who: Principal, row: Row[Any], changes: Mapping[str, Any]) -> Row[Any]:
    """The locked row with `changes`.

    Raises Refused(forbidden) for the caller's own levels, and when the user would have more than before
    and more than the caller: by a level, by the default under one that is taken away, by coming back.
    """
    changed = {name: value for name, value in changes.items() if getattr(row, name) != value}
    if not changed:
        return row
    if "levels" in changed and row.id == who.user_id:
        raise Refused(Reason.FORBIDDEN, "nobody edits their own levels")
    # Once the user's row is locked: a deactivation that comes later waits for it and has the last word.
    home = await organisations.find(work, row.organisation_id, who)
    before = effective(home.kind, row.levels, active=row.active)
    after = effective(home.kind, changed.get("levels", row.levels), active=changed.get("active", row.active))
    await _check_raise(work, who, before, after)
    written = await users.change(work, row, changed)
    work.publish("user.changed", users.user_state(written, in_service=home.active))
    return written


async def _check_raise(
    work: Work, who: Principal, before: Mapping[Area, Level], after: Mapping[Area, Level]
) -> None:
    own = DEFAULTS[who.role] | dict(await users.levels_of(work, who))
    if areas := beyond(raised(before, after), own):
        raise Refused(Reason.FORBIDDEN, f"beyond your own level: {', '.join(areas)}", areas=areas)
