"""The owner's row, the newest record and every reader's copy are the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from souk.checker import content
from souk.checker.database import Connection
from souk.checker.finding import MOST, Finding
from souk.checker.places import EXPIRES, OWNERS, Place
from souk.checker.topics import Log, Newest

Role = Literal["owner", "copy"]
Row = Mapping[str, Any]

_PREFETCH = 1_000


@dataclass(frozen=True, slots=True)
class _Suspect:
    """target: the version that both sides must reach to be beyond suspicion."""

    finding: Finding
    target: int


class Comparison:
    """A topic beside one table of it.

    rows: how many were compared. now: the suite's clock; it decides what may be gone by age.
    What differs is under suspicion at first, since the service goes on while it is read: see `look_again`.
    """

    def __init__(self, log: Log, place: Place, role: Role, connection: Connection, now: datetime) -> None:
        self.log = log
        self.place = place
        self.rows = 0
        self._role = role
        self._connection = connection
        self._since = now - EXPIRES
        self._can_be_missed = role == "owner" or log.topic.state in OWNERS
        self._columns: tuple[str, ...] = ()
        self._suspects: dict[UUID, _Suspect] = {}

    async def look(self) -> None:
        """Compare everything; the topic was read before."""
        self._columns = await compared_columns(self._connection, self.log.topic.state, self.place)
        told = self.log.in_order()
        newest = next(told, None)
        async with self._connection.transaction(readonly=True):
            async for row in self._connection.cursor(f"{self._select()} ORDER BY id", prefetch=_PREFETCH):
                self.rows += 1
                while newest is not None and newest.key < row["id"]:
                    self._suspect(newest.key, newest, None)
                    newest = next(told, None)
                if newest is not None and newest.key == row["id"]:
                    self._suspect(newest.key, newest, row)
                    newest = next(told, None)
                else:
                    self._suspect(row["id"], None, row)
        while newest is not None:
            self._suspect(newest.key, newest, None)
            newest = next(told, None)

    async def look_again(self) -> None:
        """Clear those that agree by now, or moved on: both sides have what the farther one had at first."""
        if not self._suspects:
            return
        found = await self._connection.fetch(f"{self._select()} AND id = ANY($1)", list(self._suspects))
        rows = {row["id"]: row for row in found}
        told = self.log.newest(self._suspects)
        before, self._suspects = self._suspects, {}
        for key, suspect in before.items():
            newest, row = told.get(key), rows.get(key)
            if min(_told(newest), _has(row)) < suspect.target:
                self._suspect(key, newest, row, suspect.target)

    @property
    def is_suspicious(self) -> bool:
        return bool(self._suspects)

    def findings(self) -> list[Finding]:
        """Those still under suspicion."""
        return [self._suspects[key].finding for key in sorted(self._suspects)[:MOST]]

    def _select(self) -> str:
        version = f"({self.place.version})::bigint"
        columns = ["id", f'{version} AS "_version"', *map(self._column, self._columns)]
        if self.place.at:
            columns.append(f'"{self.place.at}" AS "_at"')
        wanted = f"{version} > 0 AND ({self.place.where})"
        return f'SELECT {", ".join(columns)} FROM "{self.place.table}" WHERE {wanted}'  # noqa: S608  of places.py

    def _column(self, name: str) -> str:
        quoted = f'"{name}"'
        return f"{self.place.reads.get(name, quoted)} AS {quoted}"

    def _suspect(self, key: UUID, newest: Newest | None, row: Row | None, target: int | None = None) -> None:
        why = self._difference(newest, row)
        if why is None:
            return
        check = (
            "owner_differs" if self._role == "owner" else "copy_missing" if row is None else "copy_differs"
        )
        subject = f"{self.place.service}.{self.place.table} {self.log.topic.name} {key}"
        told, has = _told(newest), _has(row)
        reach = told + 1 if told == has else max(told, has)
        self._suspects[key] = _Suspect(Finding(check, subject, why), target or reach)

    def _difference(self, newest: Newest | None, row: Row | None) -> str | None:
        if newest is not None and row is not None:
            if newest.version != row["_version"]:
                return f"version {row['_version']} is stored, {newest.version} was told"
            differing = self._differing(newest, row)
            return f"version {newest.version} differs in {', '.join(differing)}" if differing else None
        if newest is not None:
            return f"version {newest.version} was told, none is stored" if self._is_kept(newest) else None
        if row is None or not self._can_be_missed or (self.place.at and row["_at"] <= self._since):
            return None
        return f"version {row['_version']} is stored, none was told"

    def _is_kept(self, newest: Newest) -> bool:
        if self.place.at and newest.at <= self._since:
            return False
        if self.place.needs is None:
            return True
        told = content.by_field(self.log.topic.state, newest.fields)
        return told[self.place.needs] != content.NOTHING

    def _differing(self, newest: Newest, row: Row) -> list[str]:
        told = content.by_field(self.log.topic.state, newest.fields)
        return [name for name in self._columns if content.digest(row[name]) != told[name]]


async def compared_columns(connection: Connection, state: type[Any], place: Place) -> tuple[str, ...]:
    """The columns of a place that say what the state's fields of the same names say."""
    rows = await connection.fetch(
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND table_name = $1",
        place.table,
    )
    wanted = frozenset(content.fields_of(state)) - place.but
    if place.only is not None:
        wanted &= place.only
    return tuple(sorted(wanted & {row["column_name"] for row in rows}))


def _told(newest: Newest | None) -> int:
    return newest.version if newest else 0


def _has(row: Row | None) -> int:
    return int(row["_version"]) if row else 0
