"""Organisations, users, campaigns, and what billing says of their budgets."""

from alembic import op

from souk.chassis.migrations import chassis_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    chassis_tables.create(op)
    op.execute("""
        CREATE TABLE organisation (
            id uuid PRIMARY KEY,
            version bigint NOT NULL CHECK (version >= 1),
            changed_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL,
            kind text NOT NULL CHECK (kind IN ('platform', 'agency', 'advertiser', 'talent-agency')),
            name text NOT NULL,
            country text NOT NULL,
            agency_id uuid REFERENCES organisation CHECK (agency_id IS NULL OR kind = 'advertiser'),
            active boolean NOT NULL
        )
    """)
    op.execute("CREATE INDEX organisation_created ON organisation (created_at, id)")
    op.execute("CREATE INDEX organisation_agency ON organisation (agency_id)")
    op.execute("""
        CREATE TABLE "user" (
            id uuid PRIMARY KEY,
            version bigint NOT NULL CHECK (version >= 1),
            changed_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL,
            organisation_id uuid NOT NULL REFERENCES organisation,
            email text NOT NULL,
            name text NOT NULL,
            levels jsonb NOT NULL,
            active boolean NOT NULL
        )
    """)
    op.execute('CREATE INDEX user_created ON "user" (created_at, id)')
    op.execute('CREATE UNIQUE INDEX user_email ON "user" (organisation_id, email)')
    op.execute("""
        CREATE TABLE campaign (
            id uuid PRIMARY KEY,
            version bigint NOT NULL CHECK (version >= 1),
            changed_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL,
            approved_at timestamptz,
            agency_id uuid REFERENCES organisation,
            budget_version integer NOT NULL,
            terms_version bigint NOT NULL,
            terms_changed_at timestamptz NOT NULL,
            opens_at timestamptz,
            starts_at timestamptz,
            ends_at timestamptz,
            advertiser_id uuid NOT NULL REFERENCES organisation,
            type text NOT NULL CHECK (type IN ('social', 'referral', 'url', 'ecommerce')),
            title text NOT NULL,
            hubspot_deal_id text,
            sales_pic_id uuid REFERENCES "user",
            influencer_pic_id uuid REFERENCES "user",
            pre_launch_date date,
            start_date date,
            end_date date,
            country text,
            time_zone text,
            category text,
            audience jsonb NOT NULL,
            approval_mode text NOT NULL,
            multi_posting boolean NOT NULL,
            visibility text NOT NULL,
            track_posts boolean NOT NULL,
            draft_required boolean NOT NULL,
            hashtags text[] NOT NULL,
            product_information text NOT NULL,
            post_requirements text NOT NULL,
            product_url text,
            landing_url text,
            material_url text,
            thumbnail_url text,
            sample_urls text[] NOT NULL,
            currency text,
            rates jsonb NOT NULL,
            cap bigint CHECK (cap > 0),
            budget bigint CHECK (budget >= 0),
            margin integer NOT NULL CHECK (margin >= 0 AND margin < 10000),
            agency_margin integer NOT NULL CHECK (agency_margin >= 0 AND agency_margin < 10000),
            hold_days integer NOT NULL CHECK (hold_days >= 0),
            window_days integer NOT NULL CHECK (window_days >= 1),
            CHECK (
                approved_at IS NULL
                OR (budget > 0 AND budget_version > 0 AND currency IS NOT NULL AND starts_at < ends_at
                    AND opens_at IS NOT NULL)
            )
        )
    """)
    op.execute("CREATE INDEX campaign_created ON campaign (created_at, id)")
    op.execute("CREATE INDEX campaign_advertiser ON campaign (advertiser_id, created_at, id)")
    op.execute("CREATE INDEX campaign_agency ON campaign (agency_id, created_at, id)")
    op.execute("""
        CREATE TABLE budget (
            id uuid PRIMARY KEY,
            version bigint NOT NULL,
            budget_version integer NOT NULL,
            exhausted boolean NOT NULL
        )
    """)
