"""The table of zones against the database that it was made from."""

from collections import defaultdict
from collections.abc import Iterator
from importlib.resources import files
from zoneinfo import ZoneInfo

from souk.campaign.domain.zones import DEFAULT_ZONES, ZONES

DATABASE = files("tzdata") / "zoneinfo"


def lines(name: str) -> Iterator[list[str]]:
    for line in (DATABASE / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


def rule(zone: str) -> bytes:
    """The rule that the zone follows from now on: the last line of its file (RFC 9636 §3.3)."""
    return DATABASE.joinpath(*zone.split("/")).read_bytes().rstrip(b"\n").rpartition(b"\n")[2]


def test_the_zones_are_those_of_the_database():
    assert {zone for _, _, zone, *_ in lines("zone.tab")} | {"UTC"} == ZONES
    assert {ZoneInfo(zone).key for zone in ZONES} == ZONES


def test_a_country_has_a_default_zone_where_its_clocks_agree():
    by_country: dict[str, list[str]] = defaultdict(list)  # the most populous zone of each first
    for country, _, zone, *_ in lines("zone.tab"):
        by_country[country].append(zone)

    def default(country: str) -> str | None:
        zones = by_country[country]
        return zones[0] if len({rule(zone) for zone in zones}) == 1 else None

    assert {country: default(country) for country, _ in lines("iso3166.tab")} == DEFAULT_ZONES
