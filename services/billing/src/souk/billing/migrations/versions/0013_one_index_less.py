"""Postings are looked up by entry alone, so their own id needs no index of its own."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute("ALTER TABLE posting DROP CONSTRAINT posting_pkey, ADD PRIMARY KEY (entry_id, id)")
    op.execute("DROP INDEX posting_entry")
