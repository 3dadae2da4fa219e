"""docs/bounds.md, read: what keeps each table and topic from growing, as it is stated."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from souk.contracts.topic import SERVICES

DOCUMENT = Path(__file__).parents[2] / "docs/bounds.md"
_UNITS = {"hours": timedelta(hours=1), "days": timedelta(days=1)}
_EVERY = {
    "every 5 minutes": timedelta(minutes=5),
    "daily": timedelta(days=1),
    "weekly": timedelta(days=7),
}
_AGE = re.compile(
    rf"^(\d+) (hours|days) (of wall time )?after (the end of )?`(\w+)`([^;]*), removed ({'|'.join(_EVERY)})\b"
)


@dataclass(frozen=True, slots=True)
class Age:
    """Rows go when `column` is `kept` ago; that is looked at `every` so often.

    a_day: the column is one, and ago when it has ended. wall: by the machine's clock, not the suite's.
    where: the SQL condition of the rows that are meant.
    """

    kept: timedelta
    every: timedelta
    column: str
    a_day: bool
    wall: bool
    where: str


@dataclass(frozen=True, slots=True)
class Bound:
    """One line: what is bounded (`<service>.<table>`, or topics), by what, and what holds that."""

    names: tuple[str, ...]
    by: str
    held: str

    @property
    def age(self) -> Age | None:
        if not (found := _AGE.match(self.by)):
            return None
        number, unit, wall, a_day, column, where, every = found.groups()
        condition = re.fullmatch(r" where `(.+)`", where)
        return Age(
            kept=int(number) * _UNITS[unit],
            every=_EVERY[every],
            column=column,
            a_day=bool(a_day),
            wall=bool(wall),
            where=condition[1] if condition else "true",
        )

    @property
    def empty_at_rest(self) -> bool:
        return self.by.startswith("empty at rest")

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of which no two rows agree, where a table has one row a thing."""
        found = re.match(r"one an? [^:]+: ((?:`\w+`,? ?)+)", self.by)
        return tuple(re.findall(r"`(\w+)`", found[1])) if found else ()


def read(text: str, heading: str) -> Sequence[Bound]:
    """The lines of the table below `heading`; `*.<table>` is that of every service."""
    return list(_lines(text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]))


def _lines(section: str) -> Iterator[Bound]:
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 3 and cells[0].startswith("`"):
            yield Bound(tuple(_names(cells[0])), cells[1], cells[2])


def _names(cell: str) -> Iterator[str]:
    for name in re.findall(r"`([^`]+)`", cell):
        place, _, rest = name.partition(".")
        yield from (f"{service}.{rest}" for service in SERVICES) if place == "*" else (name,)
