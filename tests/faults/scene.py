"""What faults act upon, and how they choose."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cluster import Cluster
from market import Market
from mutants import Aim
from proxy import Link

from souk.contracts.topic import Service, Topic
from souk.contracts.topics import TOPICS


@dataclass(slots=True)
class Scene:
    """What faults act upon. longest: seconds that one may last. malformed: keys and places of records that
    nobody can read, for the checker to know. aim: what they choose from. fault: the one that acts."""

    cluster: Cluster
    market: Market
    chance: random.Random
    longest: float
    said: Callable[[str], None]
    malformed: set[str]
    aim: Aim = field(default_factory=Aim)
    fault: str = ""

    def meets(self, words: str) -> None:
        """Write down what the fault has chosen."""
        self.market.history.note(f"{self.fault} {words}")

    def service(self) -> Service:
        found = self.chance.choice(self.aim.services)
        self.meets(found)
        return found

    def service_process(self) -> str:
        known = sorted(self.cluster.service_processes)
        found = self.chance.choice([name for name in known if name.startswith(self.aim.processes)])
        self.meets(found)
        return found

    def broker(self) -> str:
        found = self.chance.choice(self.cluster.brokers)
        self.meets(found)
        return found

    def link(self) -> Link:
        name = f"{self.chance.choice(self.aim.services)}.{self.chance.choice(self.aim.servers)}"
        self.meets(name)
        return self.cluster.links[name]

    def topic(self) -> Topic[Any]:
        found = self.chance.choice(
            [each for each in TOPICS if not self.aim.topics or each.name in self.aim.topics]
        )
        self.meets(found.name)
        return found

    async def a_while(self) -> None:
        await asyncio.sleep(self.chance.uniform(min(self.aim.shortest, self.longest), self.longest))
