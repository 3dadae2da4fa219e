"""Levels count in the organisation that gave them."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    # What was read doesn't say whose users they are: `souk-campaign republish campaign.users.v1` tells it
    # again, and until then the defaults of the roles hold.
    op.execute("DELETE FROM user_levels")
    op.execute("ALTER TABLE user_levels ADD COLUMN organisation_id UUID NOT NULL")
