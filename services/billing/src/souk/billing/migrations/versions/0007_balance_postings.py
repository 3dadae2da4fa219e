"""Balances count their postings, so that a summary needn't read the ledger."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("ALTER TABLE balance ADD postings bigint NOT NULL DEFAULT 0")
    # An owner whose postings came and went in one batch has no balance yet.
    op.execute(
        "INSERT INTO balance (account, owner_id, currency, amount, postings)"
        " SELECT account, owner_id, currency, 0, count(*) FROM posting GROUP BY account, owner_id, currency"
        " ON CONFLICT (account, owner_id, currency) DO UPDATE SET postings = excluded.postings"
    )
