"""The tables of the first version."""

from alembic import op

from souk.chassis.migrations import chassis_tables

revision = "0001"
down_revision = None

_TABLES = """
CREATE TABLE announcement (
    id UUID NOT NULL,
    occasion TEXT NOT NULL,
    day DATE NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    delivered BOOLEAN NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX announcement_made ON announcement (made_at);
CREATE INDEX announcement_open ON announcement (made_at, id) WHERE NOT delivered;

CREATE TABLE campaign (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    title TEXT DEFAULT '' NOT NULL,
    approved BOOLEAN DEFAULT false NOT NULL,
    start_date DATE,
    end_date DATE,
    ends_at TIMESTAMP WITH TIME ZONE,
    budget_version BIGINT DEFAULT 0 NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE contact (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    email TEXT,
    locale TEXT DEFAULT 'en' NOT NULL,
    notifications TEXT DEFAULT 'on' NOT NULL,
    push JSONB DEFAULT '[]' NOT NULL,
    erased BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE delivery (
    id UUID NOT NULL,
    version INTEGER NOT NULL,
    influencer_id UUID NOT NULL,
    channel TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject_ids UUID[] NOT NULL,
    campaign_ids UUID[] NOT NULL,
    status TEXT NOT NULL,
    detail TEXT,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    read_at TIMESTAMP WITH TIME ZONE,
    attempts INTEGER DEFAULT 0 NOT NULL,
    next_attempt_at TIMESTAMP WITH TIME ZONE DEFAULT '-infinity' NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX delivery_campaigns ON delivery USING gin (campaign_ids);
CREATE INDEX delivery_influencer ON delivery (influencer_id, made_at, id);
CREATE INDEX delivery_made ON delivery (made_at, id);
CREATE INDEX delivery_notification ON delivery (influencer_id, made_at, id)
    WHERE channel = 'in_app' AND status = 'sent';
CREATE INDEX delivery_pending ON delivery (channel, next_attempt_at, id) WHERE status = 'pending';
CREATE INDEX delivery_sending ON delivery (channel, id) WHERE status = 'sending';
CREATE INDEX delivery_waiting_campaigns ON delivery USING gin (campaign_ids) WHERE status = 'waiting';
CREATE INDEX delivery_waiting ON delivery (influencer_id, id) WHERE status = 'waiting';

CREATE TABLE influencer (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    display_name TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE occasion (
    campaign_id UUID NOT NULL,
    kind TEXT NOT NULL,
    occurrence TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    budget_version BIGINT,
    told BOOLEAN NOT NULL,
    PRIMARY KEY (campaign_id, kind, occurrence)
);
CREATE INDEX occasion_at ON occasion (at);

CREATE TABLE participation (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    campaign_id UUID NOT NULL,
    influencer_id UUID NOT NULL,
    joined_at TIMESTAMP WITH TIME ZONE,
    withdrawn_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);
CREATE INDEX participation_campaign ON participation (campaign_id, id);

CREATE TABLE payment (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    status TEXT NOT NULL,
    net BIGINT NOT NULL,
    currency TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE post (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    status TEXT NOT NULL,
    title TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE recipient (
    announcement_id UUID NOT NULL,
    influencer_id UUID NOT NULL,
    campaign_ids UUID[] NOT NULL,
    PRIMARY KEY (announcement_id, influencer_id)
);

CREATE TABLE suppression (
    influencer_id UUID NOT NULL,
    cause TEXT NOT NULL,
    address TEXT DEFAULT '' NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (influencer_id, cause, address)
);

CREATE TABLE user_level (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    levels JSONB NOT NULL,
    PRIMARY KEY (id)
);

-- Deletes what is past its time, from the first hour on.
INSERT INTO timer (kind, subject, due_at, data) VALUES ('retention', 'all', '1970-01-01 00:00:00+00', '{}');
"""


def upgrade() -> None:
    chassis_tables.create(op)
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
