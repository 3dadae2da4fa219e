"""Levels count in the organisation that gave them."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    # What was read doesn't say whose users they are: `souk-campaign republish campaign.users.v1` tells it
    # again, and until then the defaults of the roles hold.
    op.execute("DELETE FROM member")
    op.execute("ALTER TABLE member ADD COLUMN organisation_id UUID NOT NULL")
