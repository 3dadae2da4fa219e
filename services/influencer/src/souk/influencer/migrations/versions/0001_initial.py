"""The service's tables as of its first release."""

from alembic import op

from souk.chassis.migrations import chassis_tables

revision = "0001"
down_revision = None

_TABLES = """
CREATE TABLE influencer (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    signed_up_at TIMESTAMP WITH TIME ZONE NOT NULL,
    display_name TEXT NOT NULL,
    country TEXT,
    region TEXT,
    gender TEXT,
    birth_date DATE,
    categories TEXT[] NOT NULL,
    tags TEXT[] NOT NULL,
    talent_agency_id UUID,
    erased BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT influencer_lists CHECK (cardinality(categories) <= 3 AND cardinality(tags) <= 15)
);
CREATE INDEX influencer_birth_date ON influencer (birth_date);
CREATE INDEX influencer_categories ON influencer USING gin (categories);
CREATE INDEX influencer_region ON influencer (region);
CREATE INDEX influencer_signed_up ON influencer (signed_up_at, display_name, id);
CREATE INDEX influencer_talent_agency ON influencer (talent_agency_id, signed_up_at, display_name, id);
CREATE TABLE contact (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    email TEXT,
    locale TEXT NOT NULL,
    notifications TEXT NOT NULL,
    push JSONB NOT NULL,
    erased BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE payee (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    country TEXT,
    payment_mode TEXT NOT NULL,
    legal_name TEXT,
    bank_account TEXT,
    tax_id TEXT,
    consumption_tax_registered BOOLEAN NOT NULL,
    erased BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE participation (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    campaign_id UUID NOT NULL,
    influencer_id UUID NOT NULL,
    state TEXT NOT NULL,
    platform TEXT,
    account_id UUID,
    applied_at TIMESTAMP WITH TIME ZONE,
    joined_at TIMESTAMP WITH TIME ZONE,
    withdrawn_at TIMESTAMP WITH TIME ZONE,
    referral_code TEXT,
    commission INTEGER,
    followers_base BIGINT,
    forced BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT participation_commission CHECK (commission BETWEEN 0 AND 10000)
);
CREATE INDEX participation_campaign ON participation (campaign_id, created_at, id);
CREATE INDEX participation_influencer ON participation (influencer_id, created_at, id);
CREATE UNIQUE INDEX participation_once ON participation (campaign_id, influencer_id);
CREATE TABLE referral_pool (
    campaign_id UUID NOT NULL,
    codes INTEGER NOT NULL,
    assigned INTEGER NOT NULL,
    PRIMARY KEY (campaign_id),
    CONSTRAINT referral_pool_enough CHECK (assigned BETWEEN 0 AND codes)
);
CREATE TABLE referral_code (
    campaign_id UUID NOT NULL,
    position INTEGER NOT NULL,
    advertiser_id UUID NOT NULL,
    code TEXT NOT NULL,
    participation_id UUID,
    PRIMARY KEY (campaign_id, position)
);
CREATE UNIQUE INDEX referral_code_once ON referral_code (advertiser_id, lower(code));
CREATE TABLE decision (
    campaign_id UUID NOT NULL,
    influencer_id UUID NOT NULL,
    effect TEXT NOT NULL,
    decided_at TIMESTAMP WITH TIME ZONE NOT NULL,
    rule_version SMALLINT NOT NULL,
    failed TEXT[] NOT NULL,
    inputs JSONB NOT NULL,
    PRIMARY KEY (campaign_id, influencer_id, effect)
);
CREATE INDEX decision_influencer ON decision (influencer_id);
CREATE TABLE announcement (
    id UUID NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    occasion TEXT NOT NULL,
    subject TEXT NOT NULL,
    day DATE NOT NULL,
    part INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    recipients JSONB NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX announcement_changed_at ON announcement (changed_at);
CREATE INDEX announcement_subject ON announcement (occasion, subject);
CREATE TABLE campaign (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    advertiser_id UUID NOT NULL,
    type TEXT NOT NULL,
    lifecycle TEXT NOT NULL,
    title TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    approved_at TIMESTAMP WITH TIME ZONE,
    start_date DATE,
    opens_at TIMESTAMP WITH TIME ZONE,
    starts_at TIMESTAMP WITH TIME ZONE,
    ends_at TIMESTAMP WITH TIME ZONE,
    approval_mode TEXT NOT NULL,
    visibility TEXT NOT NULL,
    track_posts BOOLEAN NOT NULL,
    budget_version BIGINT NOT NULL,
    platforms TEXT[] NOT NULL,
    connections TEXT[] NOT NULL,
    regions TEXT[] NOT NULL,
    categories TEXT[] NOT NULL,
    genders TEXT[] NOT NULL,
    age_min BIGINT,
    age_max BIGINT,
    followers_min BIGINT,
    followers_max BIGINT,
    brief JSONB NOT NULL,
    based_at TIMESTAMP WITH TIME ZONE,
    upcoming_announced_at TIMESTAMP WITH TIME ZONE,
    started_announced_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);
CREATE INDEX campaign_advertiser ON campaign (advertiser_id);
CREATE INDEX campaign_open ON campaign (ends_at, id) WHERE lifecycle = 'approved';
CREATE INDEX campaign_start ON campaign (start_date) WHERE lifecycle = 'approved';
CREATE TABLE budget (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    budget_version BIGINT NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE organisation (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    kind TEXT NOT NULL,
    agency_id UUID,
    PRIMARY KEY (id)
);
CREATE INDEX organisation_agency ON organisation (agency_id);
CREATE TABLE user_levels (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    levels JSONB NOT NULL,
    active BOOLEAN NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE account (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    influencer_id UUID NOT NULL,
    platform TEXT NOT NULL,
    handle TEXT NOT NULL,
    connection TEXT NOT NULL,
    followers BIGINT,
    usual_likes BIGINT,
    PRIMARY KEY (id)
);
CREATE INDEX account_influencer ON account (influencer_id);
CREATE INDEX account_reach ON account (platform, connection, followers, influencer_id);
CREATE TABLE reach (
    influencer_id UUID NOT NULL,
    followers BIGINT,
    engagement INTEGER,
    PRIMARY KEY (influencer_id)
);
CREATE INDEX reach_engagement ON reach (engagement, influencer_id);
CREATE INDEX reach_followers ON reach (followers, influencer_id);
"""


def upgrade() -> None:
    chassis_tables.create(op)
    for statement in _TABLES.split(";"):
        if statement.strip():
            op.execute(statement)
