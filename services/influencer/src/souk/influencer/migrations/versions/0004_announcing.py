"""Announcements are made in ranges: what is decided, and not yet published, is kept."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("CREATE INDEX influencer_sign_up ON influencer (signed_up_at, id)")
    op.execute(
        "CREATE TABLE announcing ("
        " occasion TEXT NOT NULL, subject TEXT NOT NULL, day DATE NOT NULL,"
        " decided_at TIMESTAMP WITH TIME ZONE NOT NULL, campaign_ids UUID[] NOT NULL,"
        " part_size INTEGER NOT NULL, last_sign_up TIMESTAMP WITH TIME ZONE, last_id UUID,"
        " recipients INTEGER NOT NULL DEFAULT 0, is_decided BOOLEAN NOT NULL DEFAULT false,"
        " published INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (occasion, subject))"
    )
    op.execute(
        "CREATE TABLE recipient ("
        " occasion TEXT NOT NULL, subject TEXT NOT NULL, place INTEGER NOT NULL,"
        " influencer_id UUID NOT NULL, campaign_ids UUID[] NOT NULL,"
        " PRIMARY KEY (occasion, subject, place))"
    )
