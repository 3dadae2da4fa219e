"""Metric states to exact, clipped, posted money, beside an intake of the same topic without rules.

Both are an intake alone in its process (what billing publishes stays in its outbox): billing's own, and one
that keeps a read copy of every field of the same posts. A fifth of the campaigns have a cap and a tenth a
budget that bind on the way. Afterwards worth, caps, budgets and the ledger are checked against sums of the
facts: fast and wrong counts for nothing.
"""

import random
from collections.abc import Sequence
from itertools import chain
from typing import Any

import asyncpg
import published
import reading
from harness import Memory, Result, Size, alternate, in_child, until
from place import Place, produce, record_of, services
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, MetaData, Table, Text, Uuid
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from souk.billing.main import SERVICE
from souk.billing.subscriptions import intake as billing_intake
from souk.chassis.clock import SystemClock
from souk.chassis.database import open_engine
from souk.chassis.intake import Intake
from souk.chassis.migrations import migrate
from souk.chassis.settings import KafkaAccess
from souk.chassis.store import upsert_newer
from souk.chassis.work import Units, Work
from souk.contracts.money import Micros
from souk.contracts.topics.campaigns import CAMPAIGNS
from souk.contracts.topics.participations import PARTICIPATIONS
from souk.contracts.topics.posts import POSTS, Post
from souk.contracts.topics.terms import TERMS

_PEOPLE, _POSTS, _VIEWS = 10, 4, 100
_MARGIN = 3_300
_METRICS = ("views", "likes", "comments", "shares")
_COPY = Table(
    "copy",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("version", Integer),
    Column("changed_at", DateTime(timezone=True)),
    *(Column(name, Uuid) for name in ("campaign_id", "participation_id", "influencer_id", "account_id")),
    *(Column(name, Text) for name in ("platform", "external_id", "url", "title", "status", "reason")),
    *(
        Column(name, DateTime(timezone=True))
        for name in ("published_at", "found_at", "counts_since", "observed_at", "approved_at")
    ),
    Column("counts", Boolean),
    *(Column(f"{which}_{name}", BigInteger) for which in ("latest", "counted") for name in _METRICS),
)
_PLAIN = [column.name for column in _COPY.c if not column.name.startswith(("latest_", "counted_"))]
_SUMS = """
SELECT
    (SELECT coalesce(sum(amount), 0) FROM posting) AS ledger,
    (SELECT sum(worth) FROM participation) AS worth,
    (SELECT count(*) FROM participation WHERE worth <> revenue + capped + refused) AS unsplit,
    (SELECT count(*) FROM participation WHERE revenue > cap) AS above_cap,
    (SELECT count(*) FROM account WHERE consumed > budget) AS above_budget,
    (SELECT count(*) FROM account WHERE exhausted) AS exhausted,
    (SELECT count(*) FROM participation WHERE capped > 0) AS capped,
    (SELECT count(*) FROM item WHERE NOT folded) AS waiting
"""


async def measure(size: Size) -> list[Result]:
    campaigns, versions = 100, size.of(full=15, quick=5)
    facts = campaigns * _PEOPLE * _POSTS * versions
    briefs = [_briefs(number, campaigns, versions) for number in range(size.rounds + 1)]
    told = 0
    async with services() as place:
        await migrate(place.database("billing"), SERVICE.migrations_folder())
        await place.make_tables("notify", str(CreateTable(_COPY).compile(dialect=postgresql.dialect())))
        await _open(place, briefs)

        async def tell(number: int) -> None:
            nonlocal told
            await in_child(_tell, place.access("tracking"), briefs[number], versions)
            told += facts

        with Memory() as memory:
            figures, limits = await alternate(
                size.rounds,
                lambda: in_child(
                    take,
                    place.database("billing"),
                    place.access("billing"),
                    told,
                    memory=memory,
                    name="billing's intake",
                ),
                lambda: in_child(_plain, place.database("notify"), place.access("notify"), told),
                before=tell,
            )
        async with place.connected("billing") as connection:
            checked = await connection.fetchrow(_SUMS)
    _check(checked, expected=sum(map(len, briefs)) * _PEOPLE * _POSTS * versions * _VIEWS)
    return [
        Result(
            workload="billing",
            unit="facts/s",
            figures=figures,
            limits=limits,
            floor=0.5,
            memory=memory.peaks,
            also={
                "facts a round": facts,
                "budgets used up": checked["exhausted"],
                "participations at their cap": checked["capped"],
            },
            note="Python, and the ledger in PostgreSQL: docs/decisions/0008",
        )
    ]


def _briefs(number: int, campaigns: int, versions: int) -> list[published.Brief]:
    chance = random.Random(number)
    worth = _POSTS * versions * _VIEWS
    found = []
    for index in range(campaigns):
        fields: dict[str, Any] = {}
        if index % 5 == 0:
            fields["cap"] = Micros(worth * 2 // 3)
        elif index % 10 == 1:
            fields["budget"] = Micros(worth * _PEOPLE)
        found.append(published.brief(chance, _PEOPLE, margin=_MARGIN, **fields))
    return found


def _check(sums: Any, expected: int) -> None:
    """Raises RuntimeError unless every fact is folded and split, and nothing is beyond its bound."""
    broken = {name: sums[name] for name in ("ledger", "unsplit", "above_cap", "above_budget", "waiting")}
    if any(broken.values()) or sums["worth"] != expected:
        raise RuntimeError(f"billing is wrong: {broken}, worth {sums['worth']} of {expected}")


async def _open(place: Place, briefs: Sequence[Sequence[published.Brief]]) -> None:
    """Tell billing of all campaigns and of who joined them, and wait until it has taken that in."""
    several = list(chain.from_iterable(briefs))
    await place.publish(CAMPAIGNS, [one.campaign for one in several])
    await place.publish(TERMS, [one.terms for one in several])
    await place.publish(PARTICIPATIONS, [who for one in several for who in one.participations])
    await in_child(_take_in, place.database("billing"), place.access("billing"), len(several) * (2 + _PEOPLE))


async def _take_in(url: str, access: KafkaAccess, total: int) -> None:
    units = _units(url, "billing")
    connection = await asyncpg.connect(url)

    async def over() -> bool:
        names = (CAMPAIGNS.name, TERMS.name, PARTICIPATIONS.name)
        return await reading.applied(connection, *names) >= total

    async with reading.reading(billing_intake, units, access):
        await until(over, every=0.02)
    await connection.close()
    await units.engine.dispose()


async def _tell(access: KafkaAccess, briefs: list[published.Brief], versions: int) -> None:
    posts = published.measured(briefs, _POSTS, range(1, versions + 1), _VIEWS)
    await produce(access, [record_of(POSTS, post) for post in posts])


async def take(url: str, access: KafkaAccess, told: int) -> float:
    return await _rate(billing_intake, url, access, told)


async def _plain(url: str, access: KafkaAccess, told: int) -> float:
    intake = Intake("notify")

    @intake.reads(POSTS, copy=_COPY)
    async def posts_changed(work: Work, states: Sequence[Post]) -> None:
        await upsert_newer(work, _COPY, [_row(state) for state in states])

    return await _rate(intake, url, access, told)


async def _rate(intake: Intake, url: str, access: KafkaAccess, told: int) -> float:
    units = _units(url, intake.service)
    found = await reading.rate(intake, units, url, access, topic=POSTS.name, end=told)
    await units.engine.dispose()
    return found


def _units(url: str, service: str) -> Units:
    return Units(open_engine(url, "bench"), SystemClock(), service)


def _row(post: Post) -> dict[str, Any]:
    row = {name: getattr(post, name) for name in _PLAIN}
    for which in ("latest", "counted"):
        metrics = getattr(post, which)
        row |= {f"{which}_{name}": getattr(metrics, name) for name in _METRICS}
    return row
