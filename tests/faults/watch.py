"""What only grows, looked at while there is load: no check at rest can see that it went back for a moment."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from effects import Broken, Databases

from souk.checker.places import COPIES

_BACK = frozenset(
    {
        *("rewind_group", "recreate_topic", "truncate_topic", "lose_kafka", "rebuild_copies"),
        *("kill_broker", "freeze_broker"),
    }
)
"""Faults after which a service may read a topic again: for a moment a partition's new leader knows less of
what is acknowledged than the old one did."""


@dataclass(slots=True)
class Watch:
    """Looks again and again, while there is load, at what only grows: positions, and the versions of copies.

    back: the faults meanwhile. `_BACK` move positions, and `rebuild_copies` has copies written anew.
    """

    back: set[str]
    broken: list[Broken] = field(default_factory=list)
    _seen: dict[tuple[Any, ...], int] = field(default_factory=dict)

    async def look(self, databases: Databases) -> None:
        if not self.back & _BACK:
            for service, database in databases.items():
                await self._compare(service, "position", database, _POSITIONS)
        if "rebuild_copies" not in self.back:
            for service, copied, query in _VERSIONS:
                await self._compare(service, copied, databases[service], query)

    async def _compare(self, service: str, kind: str, database: asyncpg.Pool, query: str) -> None:
        """A database that is away is looked at when it is back."""
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            for name, value in await database.fetch(query):
                before = self._seen.get((service, kind, name), value)
                if value < before:
                    words = f"{name} from {before} to {value}"
                    self.broken.append(Broken("went_back", f"{service} {kind}", words))
                self._seen[service, kind, name] = value


_POSITIONS = "SELECT topic || ' ' || partition, next_offset FROM consumer_offset"
_VERSIONS = [
    (
        place.service,
        f"{place.table} of {state.__name__}",
        f"SELECT id, ({place.version})::bigint FROM {place.table} WHERE {place.where}",
    )
    for state, places in COPIES.items()
    for place in places
    if place.at is None
]
