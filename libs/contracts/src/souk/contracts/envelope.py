"""CloudEvents 1.0 in binary mode over Kafka: attributes are headers, the value is the state as JSON.

Source: CloudEvents 1.0.2, Kafka Protocol Binding §3.2.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from souk.contracts.state import State
from souk.contracts.topic import Topic

SPEC_VERSION = b"1.0"
CONTENT_TYPE = b"application/json"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a record says of itself before its value is read."""

    id: str
    type: str
    source: str
    time: str
    subject: str


def headers(
    topic: Topic[State], event: str, event_id: UUID, time: datetime, subject: UUID
) -> list[tuple[str, bytes]]:
    """The headers of a record on `topic`.

    Raises ValueError for an event that the topic does not list.
    """
    if event not in topic.events:
        raise ValueError(f"{topic.name} does not carry {event}; it carries {', '.join(topic.events)}")
    return [
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", str(event_id).encode()),
        ("ce_source", f"/souk/{topic.owner}".encode()),
        ("ce_type", event.encode()),
        ("ce_time", time.isoformat().encode()),
        ("ce_subject", str(subject).encode()),
        ("ce_dataschema", topic.schema_id.encode()),
        ("content-type", CONTENT_TYPE),
    ]


def read(record_headers: Iterable[tuple[str, bytes | None]]) -> Envelope:
    """The envelope of a record. Raises ValueError when an attribute is missing or no UTF-8."""
    found = {
        name: value.decode() for name, value in record_headers if value is not None and name.startswith("ce_")
    }
    try:
        return Envelope(
            id=found["ce_id"],
            type=found["ce_type"],
            source=found["ce_source"],
            time=found["ce_time"],
            subject=found["ce_subject"],
        )
    except KeyError as missing:
        raise ValueError(f"no CloudEvent: {missing.args[0]} is missing") from None
