"""Why an item is worth nothing though it counts."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("ALTER TABLE item ADD reason text")
