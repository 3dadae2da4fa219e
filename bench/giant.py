"""One giant campaign, all its facts on one partition, beside 1,000 small ones.

The small ones' facts come at a steady rate, once alone and once while billing works off the giant's, which
were all published at once. A small fact's time runs from when it was due on its topic to the arrival of the
earning that pays for it; those of the giant's own partition stand in its queue and are shown apart.
The giant's rate stands beside that of 100 campaigns with nothing else to do, which have as many posts on each
partition as the giant on its one: several states of a post in one batch would be written as one. Each round
has a giant and a hundred that billing has no fact of yet.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, islice
from operator import itemgetter
from statistics import median
from time import perf_counter, time
from uuid import UUID

import earnings
import published
import reading
from harness import Memory, Result, Size, alternate, in_child, percentile, until
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
    async with services("billing") as place:
        with Memory() as memory:
            memory.watch("billing", place.pid("billing"))
            async with earnings.Earnings(place) as read:
                play = _Play(size, place, read)
                await play.open()
                giant, spread = await alternate(size.long_rounds, play.giant, play.spread)
    # The first round is not counted, as its rates are not.
    alone, beside, apart = (
        [percentile(each, 0.99) for each in several[1:]]
        for several in (play.waits(play.alone), play.waits(play.beside), play.waits(play.beside, apart=True))
    )
    return [
        Result(
            workload="small ones beside a giant",
            unit="× their p99 alone",
            figures=[one / other for one, other in zip(beside, alone, strict=True)],
            at_most=2,
            memory=memory.peaks,
            also={
                "p99 alone ms": median(alone),
                "p99 beside it ms": median(beside),
                "p99 beside it on other partitions ms": median(apart),
                "small facts a second": _RATE,
            },
            note="a partition is read in order, and others wait for a batch under way: docs/decisions/0008",
        ),
        Result(
            workload="giant",
            unit="facts/s",
            figures=giant,
            limits=spread,
            floor=1.0,
            memory=memory.peaks,
            also={"facts": play.facts, "limit": f"as many facts of {_SPREAD} campaigns"},
            note="one partition fills half a batch, and the small ones' come between: docs/decisions/0008",
        ),
    ]


_Due = tuple[UUID, float]
"""A fact's participation, and when it was due, in seconds since the epoch."""


class _Play:
    """facts: of a giant. alone, beside: the small ones' facts of each round, as they were due."""

    def __init__(self, size: Size, place: Place, read: earnings.Earnings) -> None:
        self._place, self._read = place, read
        self._seconds, self._versions = size.of(full=30, quick=5), size.of(full=60, quick=24)
        chance = random.Random(1)
        rounds = range(size.long_rounds + 1)
        self._small = [published.brief(chance, 1) for _ in range(_SMALL)]
        self._spreads = [
            [published.brief(chance, _MANY * PARTITIONS // _SPREAD) for _ in range(_SPREAD)] for _ in rounds
        ]
        self._giants = [[published.brief(chance, _MANY)] for _ in rounds]
        self._revenue = 0
        self.facts = _MANY * self._versions
        self.alone: list[list[_Due]] = []
        self.beside: list[list[_Due]] = []

    async def open(self) -> None:
        await _open(self._place, [*self._small, *chain(*self._spreads, *self._giants)])

    async def spread(self) -> float:
        """The small ones alone, then the rate of a hundred campaigns alone."""
        self.alone.append(await self._pace())
        await self._paid()
        rate = await self._work_off(self._spreads[len(self.alone) - 1], self._versions // PARTITIONS)
        await self._paid()
        return rate

    async def giant(self) -> float:
        """The giant's rate, and the small ones beside it."""
        pacing = asyncio.create_task(self._pace())
        rate = await self._work_off(self._giants[len(self.beside)], self._versions)
        self.beside.append(await pacing)
        await self._paid()
        return rate

    def waits(self, rounds: Sequence[Sequence[_Due]], *, apart: bool = False) -> list[list[float]]:
        """Milliseconds of each round's small facts; apart: of other partitions than their giant's."""
        due: dict[UUID, list[float]] = defaultdict(list)
        for who, at in sorted(chain(*self.alone, *self.beside), key=itemgetter(1)):
            due[who].append(at)
        found = []
        for several, [giant] in zip(rounds, self._giants, strict=True):
            queue = partition_of(giant.campaign.id) if apart else None
            meant = {
                each.participations[0].id: due[each.participations[0].id]
                for each in self._small
                if partition_of(each.campaign.id) != queue
            }
            waits = earnings.waits(self._read.seen, meant, several[0][1], several[-1][1])
            found.append([wait * 1000 for wait in waits])
        return found

    async def _pace(self) -> list[_Due]:
        # All campaigns have had equally many.
        version = sum(map(len, [*self.alone, *self.beside])) // _SMALL + 1
        return await in_child(_pace, self._place.access("tracking"), self._small, self._seconds, version)

    async def _work_off(self, briefs: list[published.Brief], versions: int) -> float:
        rate = await _work_off(self._place, briefs, versions)
        self._revenue += _facts(briefs, versions)
        return rate

    async def _paid(self) -> None:
        """All that was told is paid for."""
        await self._read.until(self._revenue + sum(map(len, [*self.alone, *self.beside])))


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
