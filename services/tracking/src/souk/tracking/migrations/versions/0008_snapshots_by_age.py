"""Snapshots are found by their age, to be removed when they have been kept long enough."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute("CREATE INDEX follower_snapshot_age ON follower_snapshot (observed_at)")
    op.execute("CREATE INDEX post_snapshot_age ON post_snapshot (observed_at)")
