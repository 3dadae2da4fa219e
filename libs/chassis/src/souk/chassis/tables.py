"""The tables that every service's database has; made by `souk.chassis.migrations.chassis_tables`."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("shard", SmallInteger, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", SmallInteger, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("headers", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)
"""Records not yet acknowledged by Kafka. Bound: what was published while Kafka was away."""

consumer_offset = Table(
    "consumer_offset",
    metadata,
    Column("group", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", SmallInteger, primary_key=True),
    Column("topic_id", Uuid, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
)
"""The first offset not yet applied, of the topic with that id. Bound: one row a partition read."""

parked = Table(
    "parked",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("group", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", SmallInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("key", LargeBinary),
    Column("headers", LargeBinary, nullable=False),
    Column("value", LargeBinary),
    Column("error", Text, nullable=False),
    Column("parked_at", DateTime(timezone=True), nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("1")),
    Index("parked_key", "topic", "key"),
    Index("parked_record", "group", "topic", "partition", "offset", unique=True),
)
"""Records that could not be applied. Bound: the breaker stops a partition that fills it."""

timer = Table(
    "timer",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("due_at", DateTime(timezone=True), nullable=False),
    Column("data", JSONB, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_attempt_at", DateTime(timezone=True), nullable=False, server_default=text("'-infinity'")),
    Column("error", Text),
    Column("traceparent", Text),
    Index("timer_due", "due_at", "kind", "subject"),
)
"""Work that is due at an instant of the suite's clock; gone when done. `next_attempt_at` is wall time."""

idempotency_key = Table(
    "idempotency_key",
    metadata,
    Column("principal", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("status", SmallInteger),
    Column("headers", JSONB),
    Column("body", LargeBinary),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Index("idempotency_key_created", "created_at"),
)
"""Answers to requests that must not be done twice. Bound: 24 hours of wall time, see `idempotency.py`."""
