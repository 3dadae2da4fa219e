"""Every list has an index that holds its order."""

from alembic import op

revision = "0005"
down_revision = "0004"

_INDEXES = """
CREATE INDEX influencer_name ON influencer (display_name, id);
CREATE INDEX influencer_by_talent_agency ON influencer
    ((coalesce(talent_agency_id, '00000000-0000-0000-0000-000000000000')), id);
CREATE INDEX influencer_by_gender ON influencer ((coalesce(gender, '')), id);
CREATE INDEX influencer_by_age ON influencer ((coalesce(DATE '3000-01-01' - birth_date, -1)), id);
CREATE INDEX participation_created ON participation (created_at, id);
CREATE INDEX campaign_offered ON campaign ((coalesce(starts_at, created_at)), id) WHERE lifecycle = 'approved'
"""


def upgrade() -> None:
    for statement in _INDEXES.split(";\n"):
        op.execute(statement)
