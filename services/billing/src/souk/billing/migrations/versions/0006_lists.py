"""Every list has an index that holds its order."""

from alembic import op

revision = "0006"
down_revision = "0005"

_INDEXES = """
CREATE INDEX payment_by_run ON payment (run, id);
CREATE INDEX payment_by_status ON payment (status, run, id);
DROP INDEX payment_influencer;
CREATE INDEX payment_influencer ON payment (influencer_id, run, id);
CREATE INDEX entry_influencer ON entry (influencer_id, id);
CREATE INDEX entry_kind ON entry (kind, id) WHERE kind <> 'accrual';
DROP INDEX posting_entry;
CREATE INDEX posting_entry ON posting (entry_id, id);
CREATE INDEX posting_of_payments ON posting (account, entry_id, id)
    WHERE account IN ('payout', 'withholding', 'consumption_tax', 'fee', 'bank')
"""


def upgrade() -> None:
    # What accruals alone write, the hot path, is found without an index of its own: they are most rows.
    for statement in _INDEXES.split(";\n"):
        op.execute(statement)
