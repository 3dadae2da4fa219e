"""Posts say since when they count."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE post ADD COLUMN counts_since TIMESTAMP WITH TIME ZONE")
    # When those of before began to count was not noted; none of them did before it was found.
    op.execute("UPDATE post SET counts_since = found_at WHERE counts")
