"""Countries and their time zones, from the tables that the IANA time zone database ships.

Two zones of a country count as one when their clocks agree from now on: Germany has two zones in
the database, but one time. Only where clocks differ must a campaign say which one it means
(domain.md §2).
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

_DATABASE = files("tzdata") / "zoneinfo"


@cache
def countries() -> frozenset[str]:
    """ISO 3166-1 alpha-2 codes."""
    return frozenset(code for code, *_ in _table("iso3166.tab"))


@cache
def zones() -> frozenset[str]:
    """Names of the zones that have a country, and UTC."""
    return frozenset(zone for _, _, zone, *_ in _table("zone.tab")) | {"UTC"}


def default_zone(country: str) -> str | None:
    """The country's zone; None where its clocks differ, and for an unknown country."""
    found = _zones_by_country().get(country, [])
    return found[0] if len({_rule(zone) for zone in found}) == 1 else None


@cache
def _zones_by_country() -> dict[str, list[str]]:
    """In the database's order, which puts the most populous zone first."""
    found: dict[str, list[str]] = defaultdict(list)
    for country, _, zone, *_ in _table("zone.tab"):
        found[country].append(zone)
    return dict(found)


@cache
def _rule(zone: str) -> bytes:
    """The rule that the zone follows from now on: the last line of its file (RFC 9636 §3.3)."""
    return _DATABASE.joinpath(*zone.split("/")).read_bytes().rstrip(b"\n").rpartition(b"\n")[2]


def _table(name: str) -> Iterator[list[str]]:
    for line in (_DATABASE / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")
