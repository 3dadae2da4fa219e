"""States of a batch, in order, each beside what was known just before it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from souk.contracts.state import State

S = TypeVar("S", bound=State)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """What is known of a state: its version, and the one attribute whose change matters."""

    version: int
    status: T


def changes(
    states: Iterable[S], known: Mapping[UUID, Known[T]], status: Callable[[S], T]
) -> Iterator[tuple[T | None, S]]:
    """Every state that is newer than all before it, with the status before; older ones are left out.

    However the same states are cut into batches, the same pairs come out.
    """
    latest = dict(known)
    for state in states:
        before = latest.get(state.id)
        if before is not None and state.version <= before.version:
            continue
        latest[state.id] = Known(state.version, status(state))
        yield (before.status if before else None), state
