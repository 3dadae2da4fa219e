"""Billing's cost of a fact as the facts it has stored grow, beside a billing that keeps 10,000 of them.

Each has servers of its own, so that neither's buffers, checkpoints and vacuums are the other's. A stored
fact is an accrual's entry in the ledger with its three legs; ten of them are of one post. In each round both
take in equally many fresh facts of equal form, half of them about posts that are stored, of campaigns drawn
at random, half about posts of campaigns that have just begun. The small one is made anew before each
round: what it took in would make it grow. The processor time of PostgreSQL, the only part that could grow
with what is stored, is shown apart: other work on the machine does not count in it.
"""

import random
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import asyncpg
import billing
import psutil
import stored
from harness import Memory, Result, Size, alternate, in_child
from place import Place, produce, record_of, services

from souk.billing.main import SERVICE
from souk.chassis.migrations import migrate
from souk.chassis.settings import KafkaAccess
from souk.contracts.topics.posts import POSTS

_SMALL = 10_000
_CAMPAIGNS = 20
"""Of a round, that are stored, and as many that are new."""
_BEGUN = 10**6
"""New campaigns have numbers beyond it: there are never as many stored."""
_SIZE = f"""
SELECT pg_database_size(current_database()) / 1e6::float8 AS megabytes,
       {" + ".join(f"(SELECT count(*) FROM {table})" for table in stored.TABLES)} AS rows
"""
_WRONG = """
SELECT
    (SELECT sum(amount) FROM balance) AS balances,
    (SELECT count(*) FROM item WHERE worth <> $1 * version OR NOT folded) AS items,
    (SELECT sum(worth) FROM item) - (SELECT sum(revenue) FROM account) AS accounts,
    (SELECT sum(worth) FROM item) - (SELECT sum(revenue) FROM participation) AS participations,
    (SELECT sum(worth) FROM item) + (SELECT sum(amount) FROM balance WHERE account = 'accrued') AS accrued
"""


@dataclass(slots=True)
class _Side:
    """A billing: how many campaigns it has stored, and the rounds that it was told.

    busy: seconds of processor that its PostgreSQL took, by run.
    """

    place: Place
    versions: int
    campaigns: int = 0
    rounds: int = 0
    busy: list[float] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    @property
    def told(self) -> int:
        return self.rounds * 2 * _CAMPAIGNS * stored.PEOPLE * stored.POSTS * self.versions


async def measure(size: Size) -> list[Result]:
    steps = [_SMALL * 10**power for power in range(size.of(full=4, quick=2))]
    ratios: dict[int, list[float]] = {}
    busy: dict[int, list[float]] = {}
    async with AsyncExitStack() as stack:
        small, grown = [
            _Side(await stack.enter_async_context(services()), size.of(full=5, quick=2)) for _ in range(2)
        ]
        for side in (small, grown):
            await migrate(side.place.database("billing"), SERVICE.migrations_folder())
        memory = stack.enter_context(Memory())
        for step in steps:
            await _grow(grown, step // stored.FACTS)
            figures, limits = await alternate(
                # Those before the last only show how it came.
                size.rounds if step == steps[-1] else 3,
                partial(_rate, grown, memory),
                partial(_rate, small),
                before=partial(_prepare, small, grown),
            )
            ratios[step] = [limit / figure for figure, limit in zip(figures, limits, strict=True)]
            count = len(figures)
            busy[step] = [
                one / other for one, other in zip(grown.busy[-count:], small.busy[-count:], strict=True)
            ]
        kept = await _kept(grown)
    return [
        Result(
            workload="growth, billing",
            unit=f"× the cost at {_SMALL:,} stored facts",
            figures=ratios[steps[-1]],
            at_most=1.2,
            memory=memory.peaks,
            also={
                **_spreads("at", ratios),
                **_spreads("PostgreSQL's processor time at", busy),
                **kept,
                "facts a round": grown.told / grown.rounds,
                "facts/s": median(figures),
            },
            courses={
                "× the cost": [median(each) for each in ratios.values()],
                "× PostgreSQL's processor time": [median(each) for each in busy.values()],
            },
            across=(f"{steps[0]:,} stored facts, each step ten times as many", f"{steps[-1]:,}"),
        )
    ]


async def _grow(side: _Side, campaigns: int) -> None:
    async with side.place.connected("billing") as connection:
        await stored.load_many(connection, range(side.campaigns, campaigns))
    side.campaigns = campaigns
    # What the load has left to be written would be written while it is measured.
    await _as_administrator(side, "CHECKPOINT")


async def _prepare(small: _Side, grown: _Side, _: int) -> None:
    """Tell both of a round's facts."""
    # The ledger is append-only for billing itself.
    await _as_administrator(
        small, "SET session_replication_role = replica", f"TRUNCATE outbox, {', '.join(stored.TABLES)}"
    )
    small.campaigns = _SMALL // stored.FACTS
    async with small.place.connected("billing") as connection:
        await stored.load(connection, range(small.campaigns))
        await stored.settle(connection)
    # As a relay would.
    await _as_administrator(grown, "TRUNCATE outbox")
    for side in (small, grown):
        await _tell(side)


async def _tell(side: _Side) -> None:
    side.rounds += 1
    begun = _BEGUN + side.rounds * _CAMPAIGNS
    new = range(begun, begun + _CAMPAIGNS)
    async with side.place.connected("billing") as connection:
        await stored.load(connection, new, told=0)
    old = side.chance.sample(range(side.campaigns), _CAMPAIGNS)
    mixed = side.chance.sample([*old, *new], 2 * _CAMPAIGNS)
    # Newer than what an earlier round has told of the same campaign.
    first = stored.TOLD + side.rounds * side.versions
    await in_child(_publish, side.place.access("tracking"), mixed, range(first, first + side.versions))


async def _publish(access: KafkaAccess, campaigns: list[int], versions: range) -> None:
    await produce(access, [record_of(POSTS, post) for post in stored.facts(campaigns, versions)])


async def _rate(side: _Side, memory: Memory | None = None) -> float:
    """Facts a second until all that was told is taken in."""
    place, before = side.place, _busy(side)
    rate: float = await in_child(
        billing.take,
        place.database("billing"),
        place.access("billing"),
        side.told,
        memory=memory,
        name="billing's intake",
    )
    side.busy.append(_busy(side) - before)
    return rate


def _busy(side: _Side) -> float:
    server = psutil.Process(side.place.pid("postgres"))
    times = server.cpu_times()
    living = [each.cpu_times() for each in server.children()]
    return times.children_user + times.children_system + sum(each.user + each.system for each in living)


async def _as_administrator(side: _Side, *statements: str) -> None:
    connection = await asyncpg.connect(side.place.stack.postgres.url("admin", "billing"))
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def _kept(side: _Side) -> Mapping[str, float]:
    """What is stored. Raises RuntimeError unless its sums are those of the facts."""
    async with side.place.connected("billing") as connection:
        wrong = await connection.fetchrow(_WRONG, stored.VIEWS)
        if any(wrong):
            raise RuntimeError(f"billing is wrong: {dict(wrong)}")
        size = await connection.fetchrow(_SIZE)
    return {"rows stored": size["rows"], "MB stored": size["megabytes"]}


def _spreads(name: str, found: Mapping[int, Sequence[float]]) -> Mapping[str, str]:
    return {
        f"{name} {step:,}": f"{median(each):.3f} ({min(each):.3f} to {max(each):.3f})"
        for step, each in found.items()
    }
