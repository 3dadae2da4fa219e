"""The tables of tracking's database. Each says how far it can grow."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData()


def _instant(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _count(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, BigInteger, nullable=nullable, server_default=None if nullable else text("0"))


def _flag(name: str) -> Column[object]:
    return Column(name, Boolean, nullable=False, server_default=text("false"))


# Copies of what other services own; version 0 is a placeholder that only holds the lock.

member = Table(
    "member",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("organisation_id", Uuid, nullable=False),
    Column("levels", JSONB, nullable=False),
)
"""Users' own permission levels in their organisation."""

influencer = Table(
    "influencer",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("talent_agency_id", Uuid),
    _flag("erased"),
    Index("influencer_agency", "talent_agency_id"),
)

campaign = Table(
    "campaign",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("advertiser_id", Uuid),
    Column("agency_id", Uuid),
    Column("type", Text),
    _flag("approved"),
    _flag("tracks_posts"),
    _flag("multi_posting"),
    _instant("starts_at", nullable=True),
    _instant("ends_at", nullable=True),
    Column("hashtags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("landing_url", Text),
    Column("currency", Text),
    Column("window_days", Integer, nullable=False, server_default=text("30")),
    Index("campaign_advertiser", "advertiser_id"),
    Index("campaign_agency", "agency_id"),
)

participation = Table(
    "participation",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("campaign_id", Uuid, nullable=False),
    Column("influencer_id", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("account_id", Uuid),
    Column("code", Text),
    _instant("withdrawn_at", nullable=True),
    Index("participation_campaign", "campaign_id", "code"),
    Index("participation_account", "account_id", "state"),
    Index("participation_influencer", "influencer_id"),
)
"""code: the referral code, casefolded."""

# What tracking owns.

account = Table(
    "account",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    _instant("changed_at"),
    Column("influencer_id", Uuid, nullable=False),
    Column("platform", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("handle", Text, nullable=False),
    _count("followers", nullable=True),
    _count("usual_likes", nullable=True),
    Column("connection", Text, nullable=False),
    _instant("connected_at", nullable=True),
    Column("token", LargeBinary),
    Column("uploads", Text),
    _count("video_count", nullable=True),
    _instant("listed_to", nullable=True),
    _instant("listed_at", nullable=True),
    _instant("refreshed_at", nullable=True),
    UniqueConstraint("platform", "external_id", name="account_once"),
    Index("account_influencer", "influencer_id"),
)
"""token: sealed. uploads: playlist of all its content. video_count: as it was when the content was last
listed, None when it must be listed anew. listed_to: its content is known back to there and 20 pieces more.
listed_at: instant up to which nothing was missed."""

follower_snapshot = Table(
    "follower_snapshot",
    metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("observed_at", DateTime(timezone=True), primary_key=True),
    _count("followers"),
    Index("follower_snapshot_age", "observed_at"),
)
"""Bound: one a poll that found another number, for the days in the settings."""

content = Table(
    "content",
    metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("external_id", Text, primary_key=True),
    _instant("published_at"),
    Column("title", Text, nullable=False, server_default=text("''")),
    Column("hashtags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    _count("views"),
    _count("likes"),
    _count("comments"),
    _count("shares"),
    _flag("likes_known"),
    _instant("observed_at", nullable=True),
    _instant("gone_at", nullable=True),
    Index("content_order", "account_id", "published_at", "external_id"),
    Index("content_unseen", "account_id", postgresql_where=text("observed_at IS NULL")),
)
"""Everything an account published, as far back as was listed. Bound: 1,000 a listing, one a video."""

post = Table(
    "post",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    _instant("changed_at"),
    Column("campaign_id", Uuid, nullable=False),
    Column("participation_id", Uuid, nullable=False),
    Column("influencer_id", Uuid, nullable=False),
    Column("account_id", Uuid, nullable=False),
    Column("platform", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("title", Text, nullable=False),
    _instant("published_at"),
    _instant("found_at"),
    Column("status", Text, nullable=False),
    Column("counts", Boolean, nullable=False),
    _instant("counts_since", nullable=True),
    Column("reason", Text),
    Column("warnings", JSONB, nullable=False, server_default=text("'[]'")),
    _count("views"),
    _count("likes"),
    _count("comments"),
    _count("shares"),
    _instant("observed_at"),
    _count("counted_views"),
    _count("counted_likes"),
    _count("counted_comments"),
    _count("counted_shares"),
    _instant("approved_at", nullable=True),
    _instant("invalid_since", nullable=True),
    CheckConstraint(
        "status IN ('effective', 'warning', 'approved', 'ineffective', 'pending')", name="post_status"
    ),
    Index("post_list", "campaign_id", "published_at", "id"),
    Index("post_influencer", "influencer_id", "published_at", "id"),
    Index("post_time", "published_at", "id"),
    Index("post_participation", "participation_id"),
    Index("post_content", "account_id", "external_id"),
)
"""invalid_since: when it was first seen without a hashtag that is asked for; None when it has all."""

post_snapshot = Table(
    "post_snapshot",
    metadata,
    Column("post_id", Uuid, primary_key=True),
    Column("observed_at", DateTime(timezone=True), primary_key=True),
    _count("views"),
    _count("likes"),
    _count("comments"),
    _count("shares"),
    Index("post_snapshot_age", "observed_at"),
)
"""Bound: one a poll that found other counts, for the days in the settings."""

link = Table(
    "link",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    _instant("changed_at"),
    Column("campaign_id", Uuid, nullable=False),
    Column("participation_id", Uuid, nullable=False),
    Column("influencer_id", Uuid),
    Column("slug", Text),
    Column("url", Text),
    Column("landing_url", Text),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    _count("billable"),
    _count("bot"),
    _count("duplicate"),
    _count("outside_period"),
    _count("reversed"),
    _instant("last_click_at", nullable=True),
    UniqueConstraint("slug", name="link_slug"),
    Index("link_campaign", "campaign_id", "id"),
    Index("link_influencer", "influencer_id", "campaign_id", "id"),
    Index("link_participation", "participation_id"),
)

click = Table(
    "click",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("link_id", Uuid, nullable=False),
    Column("campaign_id", Uuid, nullable=False),
    Column("participation_id", Uuid, nullable=False),
    Column("visitor", Text, nullable=False),
    Column("bot", Boolean, nullable=False),
    Column("referrer", Text),
    _instant("clicked_at"),
    Column("verdict", Text),
    _flag("reversed"),
    CheckConstraint("verdict IN ('billable', 'bot', 'duplicate', 'outside_period')", name="click_verdict"),
    Index("click_list", "link_id", "clicked_at", "id"),
    Index("click_visitor", "link_id", "visitor", "clicked_at"),
    Index("click_age", "clicked_at"),
    Index("click_campaign", "campaign_id"),
)
"""verdict: None until the link's participation and campaign are known. Bound: days in the settings."""

shop = Table(
    "shop",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("campaign_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    _instant("created_at"),
    Index("shop_campaign", "campaign_id", "created_at", "id"),
)

conversion = Table(
    "conversion",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    _instant("changed_at"),
    Column("campaign_id", Uuid, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("shop_id", Uuid, nullable=False),
    Column("source", Text, nullable=False),
    _instant("ordered_at", nullable=True),
    _instant("updated_at", nullable=True),
    Column("currency", Text),
    Column("lines", JSONB, nullable=False, server_default=text("'[]'")),
    Column("codes", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("clicks", ARRAY(Uuid), nullable=False, server_default=text("'{}'")),
    _flag("taxes_included"),
    _flag("wholly_refunded"),
    _count("refunded"),
    Column("participation_id", Uuid),
    Column("influencer_id", Uuid),
    Column("attribution", Text),
    Column("verdict", Text),
    Column("reason", Text),
    _flag("disputed"),
    Index("conversion_list", "campaign_id", "ordered_at", "id"),
    Index("conversion_influencer", "influencer_id", "ordered_at", "id"),
    Index("conversion_time", "ordered_at", "id"),
    Index("conversion_participation", "participation_id"),
    Index("conversion_codes", "codes", postgresql_using="gin"),
    Index("conversion_clicks", "clicks", postgresql_using="gin"),
    Index("conversion_waiting", "changed_at", postgresql_where=text("version = 0")),
)
"""Version 0: a placeholder of an order that only a refund has spoken of. Bound: such wait for 30 days."""

refund = Table(
    "refund",
    metadata,
    Column("conversion_id", Uuid, primary_key=True),
    Column("refund_id", Text, primary_key=True),
    Column("lines", JSONB, nullable=False),
)
"""Bound: goes with its conversion."""

quota = Table(
    "quota",
    metadata,
    Column("platform", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("used", Integer, nullable=False),
)
"""Units of the platform's API spent in a day of its time zone. Bound: 40 days."""
