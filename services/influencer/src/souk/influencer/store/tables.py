"""The tables of the influencer service. First what it owns, then its copies of other services' states."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData()

_INSTANT = DateTime(timezone=True)

influencer = Table(
    "influencer",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("changed_at", _INSTANT, nullable=False),
    Column("signed_up_at", _INSTANT, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("country", Text),
    Column("region", Text),
    Column("gender", Text),
    Column("birth_date", Date),
    Column("categories", ARRAY(Text), nullable=False),
    Column("tags", ARRAY(Text), nullable=False),
    Column("talent_agency_id", Uuid),
    Column("erased", Boolean, nullable=False, server_default=text("false")),
    CheckConstraint("cardinality(categories) <= 3 AND cardinality(tags) <= 15", name="influencer_lists"),
    Index("influencer_signed_up", "signed_up_at", "display_name", "id"),
    Index("influencer_sign_up", "signed_up_at", "id"),
    Index("influencer_name", "display_name", "id"),
    Index(
        "influencer_by_talent_agency",
        text("coalesce(talent_agency_id, '00000000-0000-0000-0000-000000000000')"),
        "id",
    ),
    Index("influencer_by_gender", text("coalesce(gender, '')"), "id"),
    Index("influencer_by_age", text("coalesce(DATE '3000-01-01' - birth_date, -1)"), "id"),
    Index("influencer_region", "region"),
    Index("influencer_birth_date", "birth_date"),
    Index("influencer_categories", "categories", postgresql_using="gin"),
    Index("influencer_talent_agency", "talent_agency_id", "signed_up_at", "display_name", "id"),
)
"""Profiles, erased ones included (blank). Bound: one row a person who ever signed up."""

contact = Table(
    "contact",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("changed_at", _INSTANT, nullable=False),
    Column("email", Text),
    Column("locale", Text, nullable=False),
    Column("notifications", Text, nullable=False),
    Column("push", JSONB, nullable=False),
    Column("erased", Boolean, nullable=False, server_default=text("false")),
)
"""How an influencer is reached. Bound: one row an influencer."""

payee = Table(
    "payee",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("changed_at", _INSTANT, nullable=False),
    Column("country", Text),
    Column("payment_mode", Text, nullable=False),
    Column("legal_name", Text),
    Column("bank_account", Text),
    Column("tax_id", Text),
    Column("consumption_tax_registered", Boolean, nullable=False),
    Column("erased", Boolean, nullable=False, server_default=text("false")),
)
"""Bank and tax details; they leave this database on the private topic alone. Bound: one row an influencer."""

participation = Table(
    "participation",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("changed_at", _INSTANT, nullable=False),
    Column("campaign_id", Uuid, nullable=False),
    Column("influencer_id", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("platform", Text),
    Column("account_id", Uuid),
    Column("applied_at", _INSTANT),
    Column("joined_at", _INSTANT),
    Column("withdrawn_at", _INSTANT),
    Column("referral_code", Text),
    Column("commission", Integer),
    Column("followers_base", BigInteger),
    Column("forced", Boolean, nullable=False, server_default=text("false")),
    CheckConstraint("commission BETWEEN 0 AND 10000", name="participation_commission"),
    Index("participation_created", "created_at", "id"),
    Index("participation_campaign", "campaign_id", "created_at", "id"),
    Index("participation_influencer", "influencer_id", "created_at", "id"),
    Index("participation_once", "campaign_id", "influencer_id", unique=True),
)
"""Deselections and those who acted. `forced` outlives `waiting`: choosing an account then joins at once."""

referral_pool = Table(
    "referral_pool",
    metadata,
    Column("campaign_id", Uuid, primary_key=True),
    Column("codes", Integer, nullable=False),
    Column("assigned", Integer, nullable=False),
    CheckConstraint("assigned BETWEEN 0 AND codes", name="referral_pool_enough"),
)
"""How many codes a campaign has and how many are given away; its row lock puts joins in a row."""

referral_code = Table(
    "referral_code",
    metadata,
    Column("campaign_id", Uuid, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("advertiser_id", Uuid, nullable=False),
    Column("code", Text, nullable=False),
    Column("participation_id", Uuid),
    Index("referral_code_once", "advertiser_id", func.lower(text("code")), unique=True),
)
"""Codes in the order in which they are given away, from 1. Bound: 10,000 a campaign."""

decision = Table(
    "decision",
    metadata,
    Column("campaign_id", Uuid, primary_key=True),
    Column("influencer_id", Uuid, primary_key=True),
    Column("effect", Text, primary_key=True),
    Column("decided_at", _INSTANT, nullable=False),
    Column("rule_version", SmallInteger, nullable=False),
    Column("failed", ARRAY(Text), nullable=False),
    Column("inputs", JSONB, nullable=False),
    Index("decision_influencer", "influencer_id"),
)
"""Why somebody was announced, applied, joined, forced or refused: the newest of each. Bound: five a pair."""

announcement = Table(
    "announcement",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("changed_at", _INSTANT, nullable=False),
    Column("occasion", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("part", Integer, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("recipients", JSONB, nullable=False),
    Index("announcement_changed_at", "changed_at"),
    Index("announcement_subject", "occasion", "subject"),
)
"""What was announced in the last 30 days, as the topic keeps it. Bound: older rows go with each new batch."""

announcing = Table(
    "announcing",
    metadata,
    Column("occasion", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("day", Date, nullable=False),
    Column("decided_at", _INSTANT, nullable=False),
    Column("campaign_ids", ARRAY(Uuid), nullable=False),
    Column("part_size", Integer, nullable=False),
    Column("last_sign_up", _INSTANT),
    Column("last_id", Uuid),
    Column("recipients", Integer, nullable=False, server_default=text("0")),
    Column("is_decided", Boolean, nullable=False, server_default=text("false")),
    Column("published", Integer, nullable=False, server_default=text("0")),
)
"""An announcement under way: up to which sign-up it is decided, then how many of its parts are out. Bound:
gone with its last part."""

recipient = Table(
    "recipient",
    metadata,
    Column("occasion", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("influencer_id", Uuid, nullable=False),
    Column("campaign_ids", ARRAY(Uuid), nullable=False),
)
"""Who is in a part that isn't out yet, numbered from 1. Bound: gone with their part."""

campaign = Table(
    "campaign",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("advertiser_id", Uuid, nullable=False),
    Column("agency_id", Uuid),
    Column("type", Text, nullable=False),
    Column("lifecycle", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("approved_at", _INSTANT),
    Column("start_date", Date),
    Column("opens_at", _INSTANT),
    Column("starts_at", _INSTANT),
    Column("ends_at", _INSTANT),
    Column("approval_mode", Text, nullable=False),
    Column("visibility", Text, nullable=False),
    Column("track_posts", Boolean, nullable=False),
    Column("budget_version", BigInteger, nullable=False),
    Column("platforms", ARRAY(Text), nullable=False),
    Column("connections", ARRAY(Text), nullable=False),
    Column("regions", ARRAY(Text), nullable=False),
    Column("categories", ARRAY(Text), nullable=False),
    Column("genders", ARRAY(Text), nullable=False),
    Column("age_min", BigInteger),
    Column("age_max", BigInteger),
    Column("followers_min", BigInteger),
    Column("followers_max", BigInteger),
    Column("brief", JSONB, nullable=False),
    Column("based_at", _INSTANT),
    Column("upcoming_announced_at", _INSTANT),
    Column("started_announced_at", _INSTANT),
    Index(
        "campaign_offered",
        text("coalesce(starts_at, created_at)"),
        "id",
        postgresql_where=text("lifecycle = 'approved'"),
    ),
    Index("campaign_open", "ends_at", "id", postgresql_where=text("lifecycle = 'approved'")),
    Index("campaign_advertiser", "advertiser_id"),
    Index("campaign_agency", "agency_id"),
    Index("campaign_start", "start_date", postgresql_where=text("lifecycle = 'approved'")),
)
"""Copy of campaign.campaigns.v1, and what was done here at its moments (the last three)."""

budget = Table(
    "budget",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("budget_version", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
)
"""Copy of billing.budgets.v1: the verdict alone; version 0 where a join came first."""

organisation = Table(
    "organisation",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
)
"""Copy of campaign.organisations.v1: the kind alone."""

user_levels = Table(
    "user_levels",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("organisation_id", Uuid, nullable=False),
    Column("levels", JSONB, nullable=False),
    Column("active", Boolean, nullable=False),
)
"""Copy of campaign.users.v1: own permission levels in their organisation."""

account = Table(
    "account",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("influencer_id", Uuid, nullable=False),
    Column("platform", Text, nullable=False),
    Column("handle", Text, nullable=False),
    Column("connection", Text, nullable=False),
    Column("followers", BigInteger),
    Column("usual_likes", BigInteger),
    Index("account_influencer", "influencer_id"),
    Index("account_reach", "platform", "connection", "followers", "influencer_id"),
)
"""Copy of tracking.accounts.v1. It names an influencer who may not be here yet; readers join."""

reach = Table(
    "reach",
    metadata,
    Column("influencer_id", Uuid, primary_key=True),
    Column("followers", BigInteger),
    Column("engagement", Integer),
    Index("reach_followers", "followers", "influencer_id"),
    Index("reach_engagement", "engagement", "influencer_id"),
)
"""Most followers of all accounts, and that account's usual likes per 10,000 followers; from `account`."""
