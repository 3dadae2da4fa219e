"""How many of a link's clicks staff took back."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("ALTER TABLE item ADD reversed bigint NOT NULL DEFAULT 0")
