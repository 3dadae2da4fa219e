"""The terms that a campaign was approved on."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE account ADD terms_needed bigint NOT NULL DEFAULT 0")
