"""What comes for a campaign while its waiting facts are folded part by part."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("ALTER TABLE account ADD behind boolean NOT NULL DEFAULT false")
    op.execute("CREATE INDEX account_behind ON account (id) WHERE behind")
    op.execute(
        "CREATE TABLE queued_fact ("
        " arrival bigint PRIMARY KEY, id uuid NOT NULL, kind smallint NOT NULL, campaign_id uuid NOT NULL,"
        " participation_id uuid, version bigint NOT NULL, changed_at timestamptz NOT NULL,"
        " active boolean NOT NULL, live boolean NOT NULL, asks boolean NOT NULL,"
        " would_count boolean NOT NULL, disputed boolean NOT NULL, since timestamptz, name text NOT NULL,"
        " fact_approved_at timestamptz,"
        " views bigint NOT NULL, likes bigint NOT NULL, comments bigint NOT NULL, shares bigint NOT NULL,"
        " units bigint NOT NULL, reversed bigint NOT NULL, lines jsonb, currency text)"
    )
    op.execute("CREATE INDEX queued_fact_campaign ON queued_fact (campaign_id, arrival)")
