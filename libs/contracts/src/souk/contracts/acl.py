"""Who may write and read what on Kafka: plain data, from which every way of provisioning makes its rules.

What isn't granted here is denied.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from souk.contracts.topic import SERVICES, Topic
from souk.contracts.topics import TOPICS

SUBSCRIBER = "subscriber"
"""Stands for any other system: it reads every public topic, in groups that begin with `subscriber.`."""

Resource = Literal["topic", "group", "cluster"]
Operation = Literal["READ", "WRITE", "DESCRIBE", "IDEMPOTENT_WRITE"]


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """`principal` may do `operation` on the resource called `name`, or on all whose names begin so."""

    principal: str
    resource: Resource
    name: str
    operation: Operation
    prefixed: bool = False


def group(service: str) -> str:
    """The consumer group of a service, and the prefix of every group that it may use."""
    return f"souk.{service}"


def dead_letters(service: str) -> str:
    """The topic with copies of the records that a service could not apply."""
    return f"{group(service)}.dlq"


def grants(topics: Sequence[Topic[Any]] = TOPICS) -> list[Grant]:
    """Everything that is granted, in a fixed order."""
    made = [grant for topic in topics for grant in on_topic(topic.name, {topic.owner}, readers(topic))]
    for service in SERVICES:
        made += on_topic(dead_letters(service), {service}, {service})
    return [*made, *on_groups()]


def readers(topic: Topic[Any]) -> frozenset[str]:
    """Who may read a topic beside its owner: those it names, and anyone when it is public."""
    anyone = {SUBSCRIBER} if topic.data_class == "public" else set[str]()
    return frozenset({*topic.readers, *anyone})


def on_topic(
    name: str, writers: set[str] | frozenset[str], reading: set[str] | frozenset[str]
) -> Iterator[Grant]:
    """Reading includes describing, in Kafka's rules; writing doesn't.

    Who writes may read, too: what it has told is held against its rows (`souk-<service> check`).
    """
    for writer in sorted(writers):
        yield Grant(writer, "topic", name, "WRITE")
        yield Grant(writer, "topic", name, "DESCRIBE")
    for reader in sorted({*writers, *reading}):
        yield Grant(reader, "topic", name, "READ")


def on_groups() -> Iterator[Grant]:
    """Consumer groups of every principal, and what an idempotent producer needs."""
    for service in SERVICES:
        yield Grant(service, "group", group(service), "READ", prefixed=True)
        yield Grant(service, "cluster", "kafka-cluster", "IDEMPOTENT_WRITE")
    yield Grant(SUBSCRIBER, "group", f"{SUBSCRIBER}.", "READ", prefixed=True)
