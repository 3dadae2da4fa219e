"""Timers keep the trace that set them."""

from alembic import op

from souk.chassis.migrations import chassis_tables

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    chassis_tables.add_timer_traceparent(op)
