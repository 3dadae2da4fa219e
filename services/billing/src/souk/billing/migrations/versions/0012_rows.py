"""Rows of items and participations as one value each, in which they are written."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute(
        "CREATE TYPE item_values AS (id uuid, kind smallint, campaign_id uuid, participation_id uuid,"
        " version bigint, changed_at timestamptz, active boolean, live boolean, asks boolean,"
        " would_count boolean, disputed boolean, since timestamptz, name text, fact_approved_at timestamptz,"
        " views bigint, likes bigint, comments bigint, shares bigint, units bigint, reversed bigint,"
        " lines text, currency text, folded boolean, worth bigint, earned bigint, capped bigint,"
        " refused bigint, payable bigint, approved_at timestamptz, approved_worth bigint, reason text)"
    )
    op.execute(
        "CREATE TYPE participation_values AS (id uuid, version bigint, cap bigint, worth bigint,"
        " revenue bigint, capped bigint, refused bigint, cost bigint, approved bigint, live_posts integer,"
        " approved_posts integer, reinstated text, changed_at timestamptz)"
    )
