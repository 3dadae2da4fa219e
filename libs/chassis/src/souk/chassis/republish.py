"""Publishing again what a service owns: refills a lost or recreated topic."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from souk.chassis.work import Units, Work
from souk.contracts.state import State
from souk.contracts.topics import Topic

Republisher = Callable[[Work, UUID | None, int], Awaitable[Sequence[State]]]
"""`(work, after_id, limit)`: the states with the next ids, in their order, their aggregates' rows locked.
Empty at the end."""

_PAGE = 500


async def republish(units: Units, republishers: Mapping[Topic[Any], Republisher]) -> dict[str, int]:
    """Put the newest state of every aggregate on its topic once more; how many by topic.

    Through the outbox and under the aggregates' locks, a page of 500 a unit of work: so a change that
    commits meanwhile comes after, and the last record of a key is its newest state. Consumers that have
    the version already change nothing. Can be broken off and run again.
    """
    sent: dict[str, int] = {}
    for topic, states_after in republishers.items():
        sent[topic.name] = 0
        after: UUID | None = None
        while states := await units.insist(partial(_page, states_after, after)):
            after = states[-1].id
            sent[topic.name] += len(states)
    return sent


async def _page(states_after: Republisher, after: UUID | None, work: Work) -> Sequence[State]:
    states = await states_after(work, after, _PAGE)
    work.republish(*states)
    return states
