"""What a service reads: topics and the handlers of their states. Translated in `subscriptions.py`."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Table

from souk.chassis.work import Work
from souk.contracts import acl
from souk.contracts.state import State
from souk.contracts.topics import Topic

S = TypeVar("S", bound=State)
Handler = Callable[[Work, Sequence[S]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Subscription:
    """copy: the table that keeps the topic's states by `id` and `version`, if there is one."""

    topic: Topic[Any]
    handler: Handler[Any]
    copy: Table | None = None


class Intake:
    """Everything a service reads, as one consumer group `souk.<service>`; a service has exactly one.

    A batch of up to 1,000 records of all topics is one unit of work. Each topic's handler is called at
    most once for it, in the order of registration, with its states in partition and offset order;
    nothing is left out or merged. A handler may see a state again (after a topic was made anew) and must
    not mind.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self.subscriptions: dict[str, Subscription] = {}

    @property
    def group(self) -> str:
        return acl.group(self.service)

    @property
    def topics(self) -> tuple[Topic[Any], ...]:
        return tuple(subscription.topic for subscription in self.subscriptions.values())

    @property
    def copies(self) -> dict[str, Table]:
        """The read copies, by topic: what `rebuild` can make anew."""
        return {name: each.copy for name, each in self.subscriptions.items() if each.copy is not None}

    def reads(self, topic: Topic[S], copy: Table | None = None) -> Callable[[Handler[S]], Handler[S]]:
        """Have the decorated function called with the states of `topic`.

        copy: the table into which it puts them as they are (`store.upsert_newer`). Raises ValueError when the
        topic has a handler already.
        """

        def register(handler: Handler[S]) -> Handler[S]:
            if topic.name in self.subscriptions:
                raise ValueError(f"{topic.name} has a handler already")
            self.subscriptions[topic.name] = Subscription(topic, handler, copy)
            return handler

        return register
