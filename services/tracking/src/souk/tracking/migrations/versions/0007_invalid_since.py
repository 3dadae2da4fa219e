"""Posts say since when they lack a required hashtag."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("ALTER TABLE post ADD COLUMN invalid_since TIMESTAMP WITH TIME ZONE")
