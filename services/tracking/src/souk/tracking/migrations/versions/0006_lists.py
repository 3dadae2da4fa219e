"""Every list of posts, links and conversions has an index that holds its order."""

from alembic import op

revision = "0006"
down_revision = "0005"

_INDEXES = """
CREATE INDEX post_influencer ON post (influencer_id, published_at, id);
CREATE INDEX post_time ON post (published_at, id);
CREATE INDEX link_influencer ON link (influencer_id, campaign_id, id);
CREATE INDEX conversion_influencer ON conversion (influencer_id, ordered_at, id);
CREATE INDEX conversion_time ON conversion (ordered_at, id)
"""


def upgrade() -> None:
    for statement in _INDEXES.split(";\n"):
        op.execute(statement)
