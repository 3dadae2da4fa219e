"""Users are kept by staff, and by an organisation's own managers for theirs."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select

from souk.campaign.domain.levels import beyond
from souk.campaign.store import organisations, users
from souk.campaign.store.tables import organisation
from souk.chassis.auth import Principal
from souk.chassis.problems import Refused
from souk.chassis.work import Work
from souk.contracts.permissions import DEFAULTS, Area, Level
from souk.contracts.reasons import Reason


async def create(work: Work, who: Principal, values: Mapping[str, Any]) -> Row[Any]:
    """values: by column; without an `id` it gets a new one, without an organisation the caller's own.

    Raises Refused(unknown_organisation) for an organisation whose users the caller doesn't keep.
    """
    home = values.get("organisation_id", who.organisation_id)
    if who.role != "staff" and home != who.organisation_id:
        raise Refused(Reason.UNKNOWN_ORGANISATION)
    known = select(organisation.c.id).where(organisation.c.id == home, organisations.visible_to(who))
    if await work.fetch_one(known) is None:
        raise Refused(Reason.UNKNOWN_ORGANISATION)
    await _check_levels(work, who, values.get("levels", {}))
    defaults = {"id": work.new_id(), "organisation_id": home, "levels": {}, "active": True}
    row = await users.add(work, defaults | dict(values))
    work.publish("user.created", users.user_state(row))
    return row


async def edit(work: Work, who: Principal, row: Row[Any], changes: Mapping[str, Any]) -> Row[Any]:
    """The locked row with `changes`."""
    if all(getattr(row, name) == value for name, value in changes.items()):
        return row
    raised = {
        area: level for area, level in changes.get("levels", {}).items() if row.levels.get(area) != level
    }
    await _check_levels(work, who, raised)
    written = await users.change(work, row, changes)
    work.publish("user.changed", users.user_state(written))
    return written


async def _check_levels(work: Work, who: Principal, granted: Mapping[Area, Level]) -> None:
    own = DEFAULTS[who.role] | dict(await users.levels_of(work, who.user_id))
    if areas := beyond(granted, own):
        raise Refused(Reason.FORBIDDEN, f"beyond your own level: {', '.join(areas)}", areas=areas)
