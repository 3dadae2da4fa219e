"""docs/bounds.md says of every table and topic what bounds it, and it is so."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
import bounds
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

from souk.chassis.migrations import migrate
from souk.contracts.topic import SERVICES
from souk.contracts.topics import TOPICS
from souk.local import provision
from souk.local.stack import Stack
from souk.local.testing import MakeDatabase

ROOT = Path(__file__).parents[2]
DOCUMENT = bounds.DOCUMENT.read_text()
Keys = Mapping[str, Sequence[set[str]]]
Columns = Mapping[str, set[str]]
PLANS = {plan.name: plan for plan in [*map(provision.plan, TOPICS), *provision.dead_letter_plans()]}
_COLUMNS = (
    "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns "
    "WHERE table_schema = 'public' GROUP BY table_name"
)
_KEYS = (
    "SELECT c.relname, array_agg(a.attname::text) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
    "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey) "
    "WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace GROUP BY c.relname, i.indexrelid"
)


@pytest.fixture(scope="session")
async def schema(make_database: MakeDatabase) -> tuple[Columns, Keys]:
    """Columns and unique keys of each `<service>.<table>` that the migrations make."""
    columns: dict[str, set[str]] = {}
    keys: dict[str, list[set[str]]] = {}
    for service in SERVICES:
        made = make_database(service)
        found = find_spec(f"souk.{service}")
        assert found is not None
        await migrate(made.url, Path(next(iter(found.submodule_search_locations or ()))) / "migrations")
        connection = await asyncpg.connect(made.url)
        try:
            columns |= {f"{service}.{table}": set(names) for table, names in await connection.fetch(_COLUMNS)}
            for table, names in await connection.fetch(_KEYS):
                keys.setdefault(f"{service}.{table}", []).append(set(names))
        finally:
            await connection.close()
    return columns, keys


def complaints(text: str, columns: Columns, keys: Keys) -> list[str]:
    tables, topics = bounds.read(text, "Tables"), bounds.read(text, "Topics")
    return [
        *_listed(tables, columns),
        *_listed(topics, PLANS),
        *(said for each in tables for said in _about(each, columns, keys)),
        *(said for each in topics for said in _about_topics(each)),
        *_unheld([*tables, *topics, *bounds.read(text, "Files")]),
    ]


def _listed(lines: Sequence[bounds.Bound], there: Mapping[str, Any]) -> Iterator[str]:
    listed = Counter(name for each in lines for name in each.names)
    yield from (f"{name} is not there" for name in listed.keys() - there.keys())
    yield from (f"{name} has no bound" for name in there.keys() - listed.keys())
    yield from (f"{name} has {number} bounds" for name, number in listed.items() if number > 1)


def _about(each: bounds.Bound, columns: Columns, keys: Keys) -> Iterator[str]:
    for name in each.names:
        if each.held.startswith("its key") and set(each.key) not in keys.get(name, ()):
            yield f"{name} has no key {', '.join(each.key)}"
        if each.age and each.age.column not in columns.get(name, ()):
            yield f"{name} has no column {each.age.column}"
    if re.match(r"\d", each.by) and not each.age:
        yield f"nobody can read the age of {each.names[0]}"


def _about_topics(each: bounds.Bound) -> Iterator[str]:
    for name in each.names:
        if (plan := PLANS.get(name)) and each.by != _kept(plan.config):
            yield f"{name} is kept otherwise: {_kept(plan.config)}"


def _kept(config: Mapping[str, str]) -> str:
    if config["cleanup.policy"] == "delete":
        return f"{_days(config['retention.ms'])} days"
    least, lag, segment = (
        _days(config[name]) for name in ("min.compaction.lag.ms", "max.compaction.lag.ms", "segment.ms")
    )
    return f"the newest state of each key; an older one at least {least} days and at most {lag + segment}"


def _days(milliseconds: str) -> int:
    days, rest = divmod(int(milliseconds), 86_400_000)
    assert not rest
    return days


def _unheld(lines: Sequence[bounds.Bound]) -> Iterator[str]:
    for each in lines:
        tests = re.findall(r"`([\w/.-]+\.py)::(\w+)`", each.held)
        if not tests and each.held != "its key":
            yield f"nothing holds the bound of {each.names[0]}"
        for file, test in tests:
            path = ROOT / file
            if not path.is_file() or not re.search(
                rf"^(async )?def {test}\(", path.read_text(), re.MULTILINE
            ):
                yield f"no test {file}::{test}"


async def test_every_table_and_topic_has_one_bound_that_something_holds(
    schema: tuple[Columns, Keys],
) -> None:
    assert complaints(DOCUMENT, *schema) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("`tracking.click`", "`tracking.clicks`", "tracking.click has no bound"),
        ("`tracking.click`", "`tracking.clicks`", "tracking.clicks is not there"),
        ("`tracking.click`", "`tracking.click` `tracking.link`", "tracking.link has 2 bounds"),
        ("`billing.payments.v1`", "", "billing.payments.v1 has no bound"),
        ("`*.outbox`", "`campaign.outbox`", "notify.outbox has no bound"),
        ("after `made_at`", "after `make_at`", "notify.delivery has no column make_at"),
        ("180 days after", "180 days from", "nobody can read the age of notify.delivery"),
        ("one a month: `run`", "one a month: `cut_off`", "billing.payment_run has no key cut_off"),
        ("at most 21 |", "at most 20 |", "billing.payments.v1 is kept otherwise"),
        ("`notify.deliveries.v1` | 30 days", "`notify.deliveries.v1` | 3 days", "kept otherwise: 30 days"),
        ("::test_old_rows_go_after_their_time`", "::test_old`", "no test services/notify/tests/test_telling"),
        ("`id` | its key |", "`id` | trust |", "nothing holds the bound of campaign.organisation"),
    ],
)
async def test_a_slip_in_the_bounds_is_found(
    schema: tuple[Columns, Keys], old: str, new: str, complaint: str
) -> None:
    assert old in DOCUMENT

    found = complaints(DOCUMENT.replace(old, new, 1), *schema)

    assert [each for each in found if complaint in each], found


def test_the_broker_keeps_topics_as_stated(stack: Stack) -> None:
    settings = stack.kafka.settings("admin")
    provision.provision_all(settings)
    admin = AdminClient(settings)
    asked = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name) for name in PLANS])
    found = {
        resource.name: {key: entry.value for key, entry in future.result().items()}
        for resource, future in asked.items()
    }

    stated = {name: each.by for each in bounds.read(DOCUMENT, "Topics") for name in each.names}
    assert {name: _kept(config) for name, config in found.items()} == stated
