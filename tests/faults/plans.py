"""Which faults a play has: planned by seed, and, once something broke, as few of them as still break it."""

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

_LIGHT_A_ROUND = 4


@dataclass(frozen=True, slots=True, order=True)
class Planned:
    """A fault of a round. What it meets, when it begins and how long it lasts follow from `seed` alone,
    whatever other faults there are. whose: the mutant that it is for."""

    round: int
    number: int
    name: str
    of: int
    whose: str = ""

    @property
    def seed(self) -> str:
        return f"{self.of}:{self.whose}:{self.round}:{self.number}"


Plan = Sequence[Sequence[Planned]]
"""The faults of each round."""


def planned(seed: int, rounds: int, light: Iterable[str], heavy: Iterable[str]) -> Plan:
    """Four light faults a round, which overlap, and in every other a heavy one after them. Every kind comes
    before any comes twice."""
    light, heavy = sorted(light), sorted(heavy)
    plan = []
    for turn in range(rounds):
        names = [_dealt(seed, light, turn * _LIGHT_A_ROUND + n) for n in range(_LIGHT_A_ROUND)]
        if turn % 2:
            names.append(_dealt(seed, heavy, turn // 2))
        plan.append([Planned(turn, number, name, seed) for number, name in enumerate(names)])
    return plan


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
