"""The chassis' own tables, for each service's migrations.

Frozen: a later change of `souk.chassis.tables` is a function of its own here, for a later migration.
"""

from typing import Protocol


class Executes(Protocol):
    """The part of `alembic.op` that is needed here."""

    def execute(self, sqltext: str) -> None: ...


_TABLES = """
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard smallint NOT NULL,
    topic text NOT NULL,
    partition smallint NOT NULL,
    key bytea NOT NULL,
    headers bytea NOT NULL,
    payload bytea NOT NULL
) WITH (
    -- All rows live for milliseconds: without an eager vacuum the relay walks over the dead.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000
);
-- Payloads are short-lived: compressing them would cost more than it saves.
ALTER TABLE outbox ALTER payload SET STORAGE EXTERNAL;

CREATE TABLE consumer_offset (
    "group" text NOT NULL,
    topic text NOT NULL,
    partition smallint NOT NULL,
    topic_id uuid NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY ("group", topic, partition)
) WITH (fillfactor = 50);

CREATE TABLE parked (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "group" text NOT NULL,
    topic text NOT NULL,
    partition smallint NOT NULL,
    "offset" bigint NOT NULL,
    key bytea,
    headers bytea NOT NULL,
    value bytea,
    error text NOT NULL,
    parked_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 1
);
CREATE INDEX parked_key ON parked (topic, key);
CREATE UNIQUE INDEX parked_record ON parked ("group", topic, partition, "offset");

CREATE TABLE timer (
    kind text NOT NULL,
    subject text NOT NULL,
    due_at timestamptz NOT NULL,
    data jsonb NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT '-infinity',
    error text,
    PRIMARY KEY (kind, subject)
);
CREATE INDEX timer_due ON timer (due_at, kind, subject);

CREATE TABLE idempotency_key (
    principal text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status smallint,
    headers jsonb,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, route, key)
);
CREATE INDEX idempotency_key_created ON idempotency_key (created_at);
"""


def create(op: Executes) -> None:
    """Make outbox, consumer_offset, parked, timer and idempotency_key (`souk.chassis.tables`)."""
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def add_timer_traceparent(op: Executes) -> None:
    """Let timers keep the trace that set them."""
    op.execute("ALTER TABLE timer ADD COLUMN traceparent text")
