"""One giant campaign, all its facts on one partition, beside 1,000 small ones.

The small ones' facts come at a steady rate, once alone and once while billing works off the giant's, which
were all published at once. A small fact's time runs from when it was due on its topic to the arrival of the
earning that pays for it; those of the giant's own partition stand in its queue and are shown apart.
The giant's rate stands beside that of 100 campaigns with nothing else to do, which have as many posts on each
partition as the giant on its one: several states of a post in one batch would be written as one.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from time import perf_counter, time
from uuid import UUID

import earnings
import published
import reading
from harness import Memory, Result, Size, in_child, percentile, until
from place import Place, produce, producing, record_of, services

from souk.chassis.settings import KafkaAccess
from souk.contracts.topic import PARTITIONS, partition_of
from souk.contracts.topics.campaigns import CAMPAIGNS
from souk.contracts.topics.participations import PARTICIPATIONS
from souk.contracts.topics.posts import POSTS
from souk.contracts.topics.terms import TERMS

_SMALL, _RATE = 1_000, 400
_SPREAD = 100
_MANY = 1_000
"""People of the giant, with a post each."""


async def measure(size: Size) -> list[Result]:
    seconds, versions = size.of(full=30, quick=5), size.of(full=60, quick=24)
    chance = random.Random(1)
    small = [published.brief(chance, 1) for _ in range(_SMALL)]
    spread = [published.brief(chance, _MANY * PARTITIONS // _SPREAD) for _ in range(_SPREAD)]
    giant = [published.brief(chance, _MANY)]
    async with services("billing") as place:
        await _open(place, [*small, *spread, *giant])
        with Memory() as memory:
            memory.watch("billing", place.pid("billing"))
            async with earnings.Earnings(place) as read:
                tracking = place.access("tracking")
                first: list[_Due] = await in_child(_pace, tracking, small, seconds, 1)
                await read.until(len(first))
                several = await _work_off(place, spread, versions // PARTITIONS)
                pacing = asyncio.create_task(
                    in_child(_pace, tracking, small, seconds, len(first) // _SMALL + 1)
                )
                one = await _work_off(place, giant, versions)
                second: list[_Due] = await pacing
                await read.until(
                    len(first)
                    + len(second)
                    + _facts(spread, versions // PARTITIONS)
                    + _facts(giant, versions)
                )
    alone = _waits(read, [first], since=0.0)
    beside = _waits(read, [first, second], since=second[0][1])
    queue = partition_of(giant[0].campaign.id)
    elsewhere = {part.id for each in small if partition_of(each.campaign.id) != queue
                 for part in each.participations}  # fmt: skip
    apart = _waits(read, [[due for due in several if due[0] in elsewhere] for several in (first, second)],
                   since=second[0][1])  # fmt: skip
    p99 = percentile(alone, 0.99), percentile(beside, 0.99)
    return [
        Result(
            workload="small ones beside a giant",
            unit="× their p99 alone",
            figures=[p99[1] / p99[0]],
            at_most=2,
            memory=memory.peaks,
            also={
                "p99 alone ms": p99[0],
                "p99 beside it ms": p99[1],
                "p99 beside it on other partitions ms": percentile(apart, 0.99),
                "small facts a second": _RATE,
            },
            note="a partition is read in order, and others wait for a batch under way: docs/decisions/0008",
        ),
        Result(
            workload="giant",
            unit="facts/s",
            figures=[one],
            limits=[several],
            also={"facts": _facts(giant, versions), "limit": f"as many facts of {_SPREAD} campaigns"},
        ),
    ]


_Due = tuple[UUID, float]
"""A fact's participation, and when it was due, in seconds since the epoch."""


def _waits(read: earnings.Earnings, rounds: Sequence[Sequence[_Due]], since: float) -> list[float]:
    due: dict[UUID, list[float]] = defaultdict(list)
    for several in rounds:
        for who, at in several:
            due[who].append(at)
    return [wait * 1000 for wait in earnings.waits(read.seen, due, since)]


async def _open(place: Place, briefs: Sequence[published.Brief]) -> None:
    await place.publish(CAMPAIGNS, [one.campaign for one in briefs])
    await place.publish(TERMS, [one.terms for one in briefs])
    await place.publish(PARTICIPATIONS, [who for one in briefs for who in one.participations])
    expected = sum(2 + len(one.participations) for one in briefs)
    async with place.connected("billing") as connection:

        async def known() -> bool:
            names = (CAMPAIGNS.name, TERMS.name, PARTICIPATIONS.name)
            return await reading.applied(connection, *names) >= expected

        await until(known, every=0.05)


async def _pace(access: KafkaAccess, small: list[published.Brief], seconds: int, version: int) -> list[_Due]:
    """Publish one fact after the other, each of the next campaign and worth 1 micro more than its last.

    All campaigns have equally many, from `version` on.
    """
    total = seconds * _RATE
    versions = range(version, version + total // _SMALL + 1)
    due: list[_Due] = []
    sent = []
    async with producing(access) as producer:
        began, epoch = perf_counter(), time() - perf_counter()
        for number, post in enumerate(islice(published.measured(small, 1, versions, 1), total)):
            at = began + number / _RATE
            if (early := at - perf_counter()) > 0:
                await asyncio.sleep(early)
            topic, value, key, partition, headers = record_of(POSTS, post)
            sent.append(await producer.send(topic, value, key=key, partition=partition, headers=headers))
            due.append((post.participation_id, epoch + at))
        await asyncio.gather(*sent)
    return due


async def _work_off(place: Place, briefs: list[published.Brief], versions: int) -> float:
    """Facts a second from the moment all are on their topic until billing has posted the last."""
    await in_child(_tell, place.access("tracking"), briefs, versions)
    ids, facts = [one.campaign.id for one in briefs], _facts(briefs, versions)
    async with place.connected("billing") as connection:

        async def over() -> bool:
            worth = await connection.fetchval(
                "SELECT sum(worth) FROM participation WHERE campaign_id = ANY($1)", ids
            )
            return bool(worth == facts)

        before = await connection.fetchval(
            "SELECT coalesce(sum(worth), 0) FROM participation WHERE campaign_id = ANY($1)", ids
        )
        began = perf_counter()
        await until(over, every=0.01, within=300)
        return (facts - int(before)) / (perf_counter() - began)


def _facts(briefs: Sequence[published.Brief], versions: int) -> int:
    return sum(len(one.participations) for one in briefs) * versions


async def _tell(access: KafkaAccess, briefs: list[published.Brief], versions: int) -> None:
    posts = published.measured(briefs, 1, range(1, versions + 1), 1)
    await produce(access, [record_of(POSTS, post) for post in posts])
