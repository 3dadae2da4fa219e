"""Who may give which permission levels to whom (domain.md §1)."""

from collections.abc import Mapping
from typing import get_args

from souk.contracts.permissions import DEFAULTS, Area, Level, Role
from souk.contracts.topics.organisations import OrganisationKind

NOTHING: Mapping[Area, Level] = dict.fromkeys(get_args(Area), Level.NONE)
_ROLES: Mapping[OrganisationKind, Role] = {
    "platform": "staff",
    "agency": "agency",
    "advertiser": "advertiser",
    "talent-agency": "talent-agency",
}


def effective(kind: OrganisationKind, levels: Mapping[Area, Level], *, active: bool) -> Mapping[Area, Level]:
    """What a user of an organisation of that kind may do: its defaults overridden by their own `levels`."""
    return {**DEFAULTS[_ROLES[kind]], **levels} if active else NOTHING


def raised(before: Mapping[Area, Level], after: Mapping[Area, Level]) -> Mapping[Area, Level]:
    """The effective levels that became higher, as they are now."""
    return {area: level for area, level in after.items() if level > before.get(area, Level.NONE)}


def beyond(granted: Mapping[Area, Level], own: Mapping[Area, Level]) -> list[Area]:
    """The areas in which `granted` exceeds what the granter has; nobody hands out more than their own."""
    return sorted(area for area, level in granted.items() if level > own.get(area, Level.NONE))
