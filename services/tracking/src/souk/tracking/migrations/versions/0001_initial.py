"""The tables of the tracking service as it begins."""

from alembic import op

from souk.chassis.migrations import chassis_tables

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE organisation (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    agency_id UUID,
    PRIMARY KEY (id)
);
CREATE INDEX organisation_agency ON organisation (agency_id);
CREATE TABLE member (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    levels JSONB NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE influencer (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    talent_agency_id UUID,
    erased BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX influencer_agency ON influencer (talent_agency_id);
CREATE TABLE campaign (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    advertiser_id UUID,
    type TEXT,
    approved BOOLEAN DEFAULT false NOT NULL,
    tracks_posts BOOLEAN DEFAULT false NOT NULL,
    multi_posting BOOLEAN DEFAULT false NOT NULL,
    starts_at TIMESTAMP WITH TIME ZONE,
    ends_at TIMESTAMP WITH TIME ZONE,
    hashtags TEXT[] DEFAULT '{}' NOT NULL,
    landing_url TEXT,
    currency TEXT,
    window_days INTEGER DEFAULT 30 NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX campaign_advertiser ON campaign (advertiser_id);
CREATE TABLE participation (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    campaign_id UUID NOT NULL,
    influencer_id UUID NOT NULL,
    state TEXT NOT NULL,
    account_id UUID,
    code TEXT,
    withdrawn_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);
CREATE INDEX participation_account ON participation (account_id, state);
CREATE INDEX participation_campaign ON participation (campaign_id, code);
CREATE INDEX participation_influencer ON participation (influencer_id);
CREATE TABLE account (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    influencer_id UUID NOT NULL,
    platform TEXT NOT NULL,
    external_id TEXT NOT NULL,
    handle TEXT NOT NULL,
    followers BIGINT,
    usual_likes BIGINT,
    connection TEXT NOT NULL,
    connected_at TIMESTAMP WITH TIME ZONE,
    token BYTEA,
    uploads TEXT,
    video_count BIGINT,
    listed_to TIMESTAMP WITH TIME ZONE,
    listed_at TIMESTAMP WITH TIME ZONE,
    refreshed_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT account_once UNIQUE (platform, external_id)
);
CREATE INDEX account_influencer ON account (influencer_id);
CREATE TABLE follower_snapshot (
    account_id UUID NOT NULL,
    observed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    followers BIGINT DEFAULT 0 NOT NULL,
    PRIMARY KEY (account_id, observed_at)
);
CREATE TABLE content (
    account_id UUID NOT NULL,
    external_id TEXT NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    title TEXT DEFAULT '' NOT NULL,
    hashtags TEXT[] DEFAULT '{}' NOT NULL,
    views BIGINT DEFAULT 0 NOT NULL,
    likes BIGINT DEFAULT 0 NOT NULL,
    comments BIGINT DEFAULT 0 NOT NULL,
    shares BIGINT DEFAULT 0 NOT NULL,
    likes_known BOOLEAN DEFAULT false NOT NULL,
    observed_at TIMESTAMP WITH TIME ZONE,
    gone_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (account_id, external_id)
);
CREATE INDEX content_order ON content (account_id, published_at, external_id);
CREATE INDEX content_unseen ON content (account_id) WHERE observed_at IS NULL;
CREATE TABLE post (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    campaign_id UUID NOT NULL,
    participation_id UUID NOT NULL,
    influencer_id UUID NOT NULL,
    account_id UUID NOT NULL,
    platform TEXT NOT NULL,
    external_id TEXT NOT NULL,
    url TEXT NOT NULL,
    title TEXT NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    found_at TIMESTAMP WITH TIME ZONE NOT NULL,
    status TEXT NOT NULL,
    counts BOOLEAN NOT NULL,
    reason TEXT,
    warnings JSONB DEFAULT '[]' NOT NULL,
    views BIGINT DEFAULT 0 NOT NULL,
    likes BIGINT DEFAULT 0 NOT NULL,
    comments BIGINT DEFAULT 0 NOT NULL,
    shares BIGINT DEFAULT 0 NOT NULL,
    observed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    counted_views BIGINT DEFAULT 0 NOT NULL,
    counted_likes BIGINT DEFAULT 0 NOT NULL,
    counted_comments BIGINT DEFAULT 0 NOT NULL,
    counted_shares BIGINT DEFAULT 0 NOT NULL,
    approved_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT post_status CHECK (status IN ('effective', 'warning', 'approved', 'ineffective', 'pending'))
);
CREATE INDEX post_content ON post (account_id, external_id);
CREATE INDEX post_list ON post (campaign_id, published_at, id);
CREATE INDEX post_participation ON post (participation_id);
CREATE TABLE post_snapshot (
    post_id UUID NOT NULL,
    observed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    views BIGINT DEFAULT 0 NOT NULL,
    likes BIGINT DEFAULT 0 NOT NULL,
    comments BIGINT DEFAULT 0 NOT NULL,
    shares BIGINT DEFAULT 0 NOT NULL,
    PRIMARY KEY (post_id, observed_at)
);
CREATE TABLE link (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    campaign_id UUID NOT NULL,
    participation_id UUID NOT NULL,
    influencer_id UUID,
    slug TEXT,
    url TEXT,
    landing_url TEXT,
    active BOOLEAN DEFAULT true NOT NULL,
    billable BIGINT DEFAULT 0 NOT NULL,
    bot BIGINT DEFAULT 0 NOT NULL,
    duplicate BIGINT DEFAULT 0 NOT NULL,
    outside_period BIGINT DEFAULT 0 NOT NULL,
    reversed BIGINT DEFAULT 0 NOT NULL,
    last_click_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT link_slug UNIQUE (slug)
);
CREATE INDEX link_campaign ON link (campaign_id, id);
CREATE INDEX link_participation ON link (participation_id);
CREATE TABLE click (
    id UUID NOT NULL,
    link_id UUID NOT NULL,
    campaign_id UUID NOT NULL,
    participation_id UUID NOT NULL,
    visitor TEXT NOT NULL,
    bot BOOLEAN NOT NULL,
    referrer TEXT,
    clicked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    verdict TEXT,
    reversed BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT click_verdict CHECK (verdict IN ('billable', 'bot', 'duplicate', 'outside_period'))
);
CREATE INDEX click_age ON click (clicked_at);
CREATE INDEX click_campaign ON click (campaign_id);
CREATE INDEX click_list ON click (link_id, clicked_at, id);
CREATE INDEX click_visitor ON click (link_id, visitor, clicked_at);
CREATE TABLE shop (
    id UUID NOT NULL,
    campaign_id UUID NOT NULL,
    kind TEXT NOT NULL,
    domain TEXT NOT NULL,
    secret BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX shop_campaign ON shop (campaign_id, created_at, id);
CREATE TABLE conversion (
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    campaign_id UUID NOT NULL,
    order_id TEXT NOT NULL,
    shop_id UUID NOT NULL,
    source TEXT NOT NULL,
    ordered_at TIMESTAMP WITH TIME ZONE,
    updated_at TIMESTAMP WITH TIME ZONE,
    currency TEXT,
    lines JSONB DEFAULT '[]' NOT NULL,
    codes TEXT[] DEFAULT '{}' NOT NULL,
    clicks UUID[] DEFAULT '{}' NOT NULL,
    taxes_included BOOLEAN DEFAULT false NOT NULL,
    wholly_refunded BOOLEAN DEFAULT false NOT NULL,
    refunded BIGINT DEFAULT 0 NOT NULL,
    participation_id UUID,
    influencer_id UUID,
    attribution TEXT,
    verdict TEXT,
    reason TEXT,
    disputed BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX conversion_clicks ON conversion USING gin (clicks);
CREATE INDEX conversion_codes ON conversion USING gin (codes);
CREATE INDEX conversion_list ON conversion (campaign_id, ordered_at, id);
CREATE INDEX conversion_participation ON conversion (participation_id);
CREATE INDEX conversion_waiting ON conversion (changed_at) WHERE version = 0;
CREATE TABLE refund (
    conversion_id UUID NOT NULL,
    refund_id TEXT NOT NULL,
    lines JSONB NOT NULL,
    PRIMARY KEY (conversion_id, refund_id)
);
CREATE TABLE quota (
    platform TEXT NOT NULL,
    day DATE NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY (platform, day)
)
"""


def upgrade() -> None:
    chassis_tables.create(op)
    for statement in TABLES.split(";"):
        op.execute(statement)
