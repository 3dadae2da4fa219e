"""What a topic is: whose, what it carries, who reads it, how it is kept and partitioned."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar
from uuid import UUID
from zlib import crc32

from souk.contracts.state import State

Service = Literal["campaign", "influencer", "tracking", "billing", "notify"]
DataClass = Literal["public", "internal", "private"]

SERVICES: tuple[Service, ...] = ("campaign", "influencer", "tracking", "billing", "notify")
PARTITIONS = 12
"""Of every topic, and never changed: a key must stay in its partition, so more means a new major."""

S = TypeVar("S", bound=State)

_DAY_MS = 86_400_000

COMPACTED: Mapping[str, str] = {
    "cleanup.policy": "compact",
    "min.compaction.lag.ms": str(7 * _DAY_MS),
    "max.compaction.lag.ms": str(14 * _DAY_MS),
    "segment.ms": str(7 * _DAY_MS),
    "message.timestamp.type": "LogAppendTime",
}
"""Newest state of each key for ever; every version for at least 7 days; an older one for at most 21."""

KEPT_30_DAYS: Mapping[str, str] = {
    "cleanup.policy": "delete",
    "retention.ms": str(30 * _DAY_MS),
    "segment.ms": str(_DAY_MS),
    "message.timestamp.type": "LogAppendTime",
}


def partition_of(subject: UUID) -> int:
    """The partition of everything that belongs to `subject`: CRC-32 of its 16 bytes, modulo 12."""
    return crc32(subject.bytes) % PARTITIONS


@dataclass(frozen=True, slots=True)
class Topic(Generic[S]):
    """A topic and all that follows from it: creation, ACLs, AsyncAPI and catalogue are made of these.

    name: `<service>.<aggregates>.v<major>`, with `.private` before the version where only the named
        readers may look.
    events: every `ce_type` the owner may send, `<aggregate>.<what happened>`.
    readers: the services that subscribe; the owner may read what it wrote without being one of them.
    data_class: `public` may be read by anyone, `internal` and `private` by the owner and the readers alone;
        personal, bank and margin data are on private topics only.
    partition_by: the field whose id picks the partition; everything of one campaign has one number.
    """

    name: str
    owner: Service
    state: type[S]
    events: tuple[str, ...]
    readers: frozenset[Service]
    data_class: DataClass
    partition_by: str
    description: str
    config: Mapping[str, str] = field(default_factory=lambda: COMPACTED, hash=False)
    partitions: int = PARTITIONS

    def key(self, state: S) -> bytes:
        return str(state.id).encode()

    def partition(self, state: S) -> int:
        return partition_of(getattr(state, self.partition_by))

    def dump(self, state: S) -> bytes:
        return state.model_dump_json().encode()

    def parse(self, value: bytes) -> S:
        """Read a record's value; fields that this version doesn't know are left out.

        Raises pydantic.ValidationError when the value is no such state.
        """
        return self.state.model_validate_json(value, extra="ignore")

    @property
    def schema_id(self) -> str:
        return f"urn:souk:schema:{self.name}"
