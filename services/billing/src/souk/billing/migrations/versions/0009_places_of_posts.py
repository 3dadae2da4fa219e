"""Whether a campaign lets several posts of an influencer count, and whether a post's status lets it count."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    # What was read is not read again: until a campaign's next state its posts are taken to count side by
    # side, as they were, and no post stands aside yet.
    op.execute("ALTER TABLE account ADD multi_posting boolean NOT NULL DEFAULT true")
    op.execute("ALTER TABLE item ADD live boolean NOT NULL DEFAULT false")
    op.execute("UPDATE item SET live = active")
