"""Campaigns have their agency; the advertisers' present ones are of no more use."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE account ADD agency_id uuid")
    # The states that were read are not read again: until now nothing but the present agency is known.
    op.execute(
        "UPDATE account SET agency_id = organisation.agency_id"
        " FROM organisation WHERE organisation.id = account.advertiser_id"
    )
    op.execute("CREATE INDEX account_agency ON account (agency_id)")
    op.execute("DROP TABLE organisation")
