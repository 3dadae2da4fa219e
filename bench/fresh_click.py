"""From a visitor's click to the earning on its topic that pays for it, at 2,000 clicks a second.

Every click is of a new visitor and pays 1 micro, so the k-th click on a link is paid for by the first
earning of its participation whose revenue is k or more. The time runs from when the click was due to when
that earning arrives at a reader of the topic.
"""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from uuid import UUID

import clicks
import earnings
import load
from harness import Memory, Result, Size, in_child, percentile, until
from place import Place, services

from souk.local.suite import REDIRECT

_RATE = 2_000
_CAMPAIGNS, _PEOPLE = 20, 10
_WARM_SECONDS = 2


async def measure(size: Size) -> list[Result]:
    async with services("tracking", "billing") as place:
        rows = await clicks.open_links(place, _CAMPAIGNS, _PEOPLE)
        await _known_to_billing(place)
        with Memory() as memory:
            for name in (REDIRECT, "tracking", "billing"):
                memory.watch(name, place.pid(name))
            asked, port = clicks.requests(rows), place.port(REDIRECT)
            async with earnings.Earnings(place) as read:
                loads: list[load.Load] = []
                rounds = [size.of(full=60, quick=6)] * size.long_rounds
                for seconds in (_WARM_SECONDS, *rounds):
                    before = sum(one.answered for one in loads)
                    plan = load.Plan(port, asked, seconds, rate=_RATE, first=before)
                    loads.append((await in_child(load.run, plan)).expect(302))
                    await read.until(before + loads[-1].answered)
    due = _due([row["participation_id"] for row in rows], loads)
    waits = [
        [wait * 1000 for wait in earnings.waits(read.seen, due, min(one.sent), max(one.sent))]
        for one in loads[1:]
    ]
    return [
        Result(
            workload="fresh click, p50",
            unit="ms",
            figures=[percentile(each, 0.5) for each in waits],
            at_most=300,
            memory=memory.peaks,
            also={
                "clicks a round": len(waits[0]),
                "clicks a second": median(one.rate for one in loads[1:]),
            },
        ),
        Result(
            workload="fresh click, p99",
            unit="ms",
            figures=[percentile(each, 0.99) for each in waits],
            at_most=1_000,
            memory=memory.peaks,
            also={"most ms": max(map(max, waits))},
        ),
    ]


def _due(participations: list[UUID], loads: Sequence[load.Load]) -> dict[UUID, list[float]]:
    """When the clicks of each participation were due, in that order."""
    due: dict[UUID, list[float]] = defaultdict(list)
    for one in loads:
        for number, at in sorted(zip(one.which, one.sent, strict=True)):
            due[participations[number % len(participations)]].append(at)
    return due


async def _known_to_billing(place: Place) -> None:
    async with place.connected("billing") as connection:

        async def known() -> bool:
            open_ = await connection.fetchval("SELECT count(*) FROM account WHERE version > 0")
            joined = await connection.fetchval("SELECT count(*) FROM participation")
            return bool(open_ == _CAMPAIGNS and joined == _CAMPAIGNS * _PEOPLE)

        await until(known, every=0.05)
