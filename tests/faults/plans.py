"""Which faults a play has: planned by seed, and, once something broke, as few of them as still break it."""

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

_LIGHT_A_ROUND = 4
_BESIDE_A_HEAVY_ONE = 2


@dataclass(frozen=True, slots=True, order=True)
class Planned:
    """A fault of a round. What it meets, when it begins and how long it lasts follow from `seed` alone,
    whatever other faults there are.

    whose: the mutant that it is for. late: at the end of the round, when all runs again. part: those of one
    happen together, one part after another.
    """

    round: int
    number: int
    name: str
    of: int
    whose: str = ""
    late: bool = False
    part: int = 0

    @property
    def seed(self) -> str:
        return f"{self.of}:{self.whose}:{self.round}:{self.number}"


Plan = Sequence[Sequence[Planned]]
"""The faults of each round."""


def planned(
    seed: int, rounds: int, light: Iterable[str], heavy: Iterable[str], beside: Iterable[str]
) -> Plan:
    """Four light faults a round, which overlap, but come one after another in every fourth; in every other
    round a heavy one after them, by turns with two of those that may be `beside` it and alone. Every kind
    comes before any comes twice."""
    light, heavy, beside = sorted(light), sorted(heavy), sorted(beside)
    plan = []
    for turn in range(rounds):
        names = [_dealt(seed, light, turn * _LIGHT_A_ROUND + n) for n in range(_LIGHT_A_ROUND)]
        one_by_one = turn % 4 == 2
        faults = [
            Planned(turn, number, name, seed, part=number if one_by_one else 0)
            for number, name in enumerate(names)
        ]
        if turn % 2:
            late = [_dealt(seed, heavy, turn // 2)]
            if turn % 4 == 1:
                first = turn // 4 * _BESIDE_A_HEAVY_ONE
                late += [_dealt(seed, beside, first + n) for n in range(_BESIDE_A_HEAVY_ONE)]
            faults += [
                Planned(turn, number, name, seed, late=True)
                for number, name in enumerate(late, start=len(faults))
            ]
        plan.append(faults)
    return plan


def parts(faults: Iterable[Planned], *, late: bool) -> Sequence[Sequence[Planned]]:
    """Those that are late or not, by part: what happens at one time."""
    part = attrgetter("part")
    chosen = sorted((fault for fault in faults if fault.late is late), key=part)
    return [list(each) for _, each in groupby(chosen, key=part)]


def _dealt(seed: int, names: Sequence[str], number: int) -> str:
    """The card `number` of packs that are shuffled one after the other."""
    pack = list(names)
    random.Random(f"{seed}:{number // len(pack)}").shuffle(pack)
    return pack[number % len(pack)]


async def shortest(plan: Plan, breaks: Callable[[Plan], Awaitable[bool]]) -> Plan:
    """As few faults as still break, found by leaving out ever smaller parts (ddmin: Zeller and Hildebrandt,
    Simplifying and Isolating Failure-Inducing Input, 2002). Rounds without faults go, but one stays.

    breaks: plays a plan; whether it broke. Races are luck, so what is left is enough, and only probably all
    needed. It may raise TimeoutError to end the search.
    """
    left, parts = [fault for faults in plan for fault in faults], 2
    try:
        if await breaks([[]]):
            return [[]]
        while len(left) > 1:
            size = -(-len(left) // parts)
            for start in range(0, len(left), size):
                without = left[:start] + left[start + size :]
                if without and await breaks(_by_round(without)):
                    left, parts = without, max(parts - 1, 2)
                    break
            else:
                if size == 1:
                    break
                parts = min(2 * parts, len(left))
    except TimeoutError:
        pass
    return _by_round(left)


def _by_round(faults: Iterable[Planned]) -> Plan:
    return [list(each) for _, each in groupby(faults, key=attrgetter("round"))]
