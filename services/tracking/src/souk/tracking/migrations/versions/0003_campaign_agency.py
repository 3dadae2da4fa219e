"""Campaigns have their agency; the advertisers' present ones are of no more use."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("ALTER TABLE campaign ADD COLUMN agency_id UUID")
    # The states that were read are not read again: until now nothing but the present agency is known.
    op.execute(
        "UPDATE campaign SET agency_id = organisation.agency_id"
        " FROM organisation WHERE organisation.id = campaign.advertiser_id"
    )
    op.execute("CREATE INDEX campaign_agency ON campaign (agency_id)")
    op.execute("DROP TABLE organisation")
