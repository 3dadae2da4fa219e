"""The service's own tables, as `migrations/versions` makes them."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

_Instant = DateTime(timezone=True)

organisation = Table(
    "organisation",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("changed_at", _Instant, nullable=False),
    Column("created_at", _Instant, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("agency_id", Uuid, ForeignKey("organisation.id")),
    Column("active", Boolean, nullable=False),
    Index("organisation_created", "created_at", "id"),
    Index("organisation_agency", "agency_id"),
)

user = Table(
    "user",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("changed_at", _Instant, nullable=False),
    Column("created_at", _Instant, nullable=False),
    Column("organisation_id", Uuid, ForeignKey("organisation.id"), nullable=False),
    Column("email", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("levels", JSONB, nullable=False),
    Column("active", Boolean, nullable=False),
    Index("user_created", "created_at", "id"),
    Index("user_email", "organisation_id", "email", unique=True),
)
"""E-mail (lower case) and name are personal data and never leave this table but by the API."""

campaign = Table(
    "campaign",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("changed_at", _Instant, nullable=False),
    Column("created_at", _Instant, nullable=False),
    Column("approved_at", _Instant),
    Column("agency_id", Uuid, ForeignKey("organisation.id")),
    Column("budget_version", Integer, nullable=False),
    Column("terms_version", BigInteger, nullable=False),
    Column("terms_changed_at", _Instant, nullable=False),
    Column("opens_at", _Instant),
    Column("starts_at", _Instant),
    Column("ends_at", _Instant),
    # the brief, see domain/brief.py
    Column("advertiser_id", Uuid, ForeignKey("organisation.id"), nullable=False),
    Column("type", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("hubspot_deal_id", Text),
    Column("sales_pic_id", Uuid, ForeignKey("user.id")),
    Column("influencer_pic_id", Uuid, ForeignKey("user.id")),
    Column("pre_launch_date", Date),
    Column("start_date", Date),
    Column("end_date", Date),
    Column("country", Text),
    Column("time_zone", Text),
    Column("category", Text),
    Column("audience", JSONB, nullable=False),
    Column("approval_mode", Text, nullable=False),
    Column("multi_posting", Boolean, nullable=False),
    Column("visibility", Text, nullable=False),
    Column("track_posts", Boolean, nullable=False),
    Column("draft_required", Boolean, nullable=False),
    Column("hashtags", ARRAY(Text), nullable=False),
    Column("product_information", Text, nullable=False),
    Column("post_requirements", Text, nullable=False),
    Column("product_url", Text),
    Column("landing_url", Text),
    Column("material_url", Text),
    Column("thumbnail_url", Text),
    Column("sample_urls", ARRAY(Text), nullable=False),
    Column("currency", Text),
    Column("rates", JSONB, nullable=False),
    Column("cap", BigInteger),
    Column("budget", BigInteger),
    Column("margin", Integer, nullable=False),
    Column("agency_margin", Integer, nullable=False),
    Column("hold_days", Integer, nullable=False),
    Column("window_days", Integer, nullable=False),
    Index("campaign_created", "created_at", "id"),
    Index("campaign_advertiser", "advertiser_id", "created_at", "id"),
    Index("campaign_agency", "agency_id", "created_at", "id"),
)
"""agency_id: the advertiser's agency, followed while a draft and kept from the approval on. The instants
follow from dates and zone and are kept so that lists can be filtered by status. Amounts are micros,
margins basis points."""

budget = Table(
    "budget",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("budget_version", Integer, nullable=False),
    Column("exhausted", Boolean, nullable=False),
)
"""Read copy of billing.budgets: what a status needs. Bound: one row a campaign."""
