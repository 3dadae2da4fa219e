"""What a channel is to those who send on it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Protocol

from souk.contracts.topics.deliveries import Channel
from souk.notify.store.copies import Facts

Result = Literal["sent", "failed", "unknown", "again", "untouched"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of handing one delivery over.

    again: the other side answered that it did not take it. unknown: it got it but never answered.
    untouched: it was never asked. wait: how long it wants us to wait. unusable: addresses that must not
    be used again, as (cause, address) of `suppression`.
    """

    result: Result
    detail: str | None = None
    wait: timedelta | None = None
    unusable: tuple[tuple[str, str], ...] = ()


SENT = Outcome("sent")


class AwayError(Exception):
    """The channel as a whole can't be used for the moment: its server is away, or doesn't want us."""


class Outlet(Protocol):
    """One channel to the outside. width: deliveries handed over at the same time."""

    channel: Channel
    width: int

    async def send(self, row: Any, facts: Facts) -> Outcome:
        """Hand one claimed delivery over, once. Raises AwayError when nobody was there to take it."""
        ...

    async def close(self) -> None: ...
