"""What only grows, looked at while there is load: no check at rest can see that it went back for a moment."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from effects import Broken, Databases

from souk.checker.places import COPIES

_BACK = frozenset(
    {
        *("rewind_group", "recreate_topic", "truncate_topic", "lose_kafka", "rebuild_copies"),
        *("refuse_records", "kill_broker", "freeze_broker"),
    }
)
"""Faults after which a service may read a topic again: for a moment a partition's new leader knows less of
what is acknowledged than the old one did."""


@dataclass(slots=True)
class Watch:
    """Looks again and again, while there is load, at what only grows: positions, and the versions of copies.

    back: the faults that have begun. `_BACK` move positions, and `rebuild_copies` has copies written anew.
    looks: how often something was compared with what it was before, of positions and of copies.
    """

    back: set[str] = field(default_factory=set)
    broken: list[Broken] = field(default_factory=list)
    looks: Counter[str] = field(default_factory=Counter)
    _seen: dict[tuple[Any, ...], int] = field(default_factory=dict)
    _looked: dict[tuple[str, str], int] = field(default_factory=dict)

    async def look(self, databases: Databases) -> None:
        for service, database in databases.items():
            await self._compare(service, "position", database, _POSITIONS, but=_BACK)
        for service, copied, query in _VERSIONS:
            await self._compare(service, copied, databases[service], query, but=_ANEW)

    async def _compare(
        self, service: str, kind: str, database: asyncpg.Pool, query: str, but: frozenset[str]
    ) -> None:
        """What was written since the last look. A database that is away is looked at when it is back."""
        with suppress(*_AWAY):
            if self.back & but:
                return
            # All before it is over, and in what is read then.
            open_since = await database.fetchval(_OPEN_SINCE)
            rows = await database.fetch(query, self._looked.get((service, kind), 0))
            self._looked[service, kind] = open_since
            # One that began meanwhile may be in what was read.
            for name, value in rows if not self.back & but else ():
                before = self._seen.get((service, kind, name))
                self.looks["position" if but is _BACK else "copy"] += before is not None
                if before is not None and value < before:
                    words = f"{name} from {before} to {value}"
                    self.broken.append(Broken("went_back", f"{service} {kind}", words))
                self._seen[service, kind, name] = value


_ANEW = frozenset({"rebuild_copies"})
_AWAY = (
    *(OSError, asyncpg.InterfaceError, asyncpg.InternalClientError),
    *(asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InsufficientResourcesError),
)
"""What a database that is away answers; anything else is a mistake in the question."""
_OPEN_SINCE = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_WRITTEN = "xmin::text::bigint >= $1"
_POSITIONS = f"SELECT topic || ' ' || partition, next_offset FROM consumer_offset WHERE {_WRITTEN}"
_VERSIONS = [
    (
        place.service,
        f"{place.table} of {state.__name__}",
        f"SELECT id, ({place.version})::bigint FROM {place.table} WHERE ({place.where}) AND {_WRITTEN}",
    )
    for state, places in COPIES.items()
    for place in places
    if place.at is None
]
