"""Who may give which permission levels to whom (domain.md §1)."""

from collections.abc import Mapping

from souk.contracts.permissions import Area, Level


def beyond(granted: Mapping[Area, Level], own: Mapping[Area, Level]) -> list[Area]:
    """The areas in which `granted` exceeds what the granter has; nobody hands out more than their own."""
    return sorted(area for area, level in granted.items() if level > own.get(area, Level.NONE))
