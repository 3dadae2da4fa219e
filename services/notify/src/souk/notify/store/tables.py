"""The service's tables, besides those of the chassis. Every one says what bounds it."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData()

delivery = Table(
    "delivery",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("influencer_id", Uuid, nullable=False),
    Column("channel", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject_ids", ARRAY(Uuid), nullable=False),
    Column("campaign_ids", ARRAY(Uuid), nullable=False),
    Column("status", Text, nullable=False),
    Column("detail", Text),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("read_at", DateTime(timezone=True)),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_attempt_at", DateTime(timezone=True), nullable=False, server_default=text("'-infinity'")),
    Index(
        "delivery_pending",
        "channel",
        "next_attempt_at",
        "id",
        postgresql_where=text("status = 'pending'"),
    ),
    Index("delivery_sending", "channel", "id", postgresql_where=text("status = 'sending'")),
    Index("delivery_waiting", "influencer_id", "id", postgresql_where=text("status = 'waiting'")),
    Index(
        "delivery_notification",
        "influencer_id",
        "made_at",
        "id",
        postgresql_where=text("channel = 'in_app' AND status = 'sent'"),
    ),
    Index("delivery_influencer", "influencer_id", "made_at", "id"),
    Index("delivery_made", "made_at", "id"),
    Index("delivery_campaigns", "campaign_ids", postgresql_using="gin"),
    Index(
        "delivery_waiting_campaigns",
        "campaign_ids",
        postgresql_using="gin",
        postgresql_where=text("status = 'waiting'"),
    ),
)
"""One message to one influencer on one channel; its id follows from what it tells (`deliveries._identity`).
`next_attempt_at` is wall time, all other instants are the suite's. Bound: 180 days."""

contact = Table(
    "contact",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("email", Text),
    Column("locale", Text, nullable=False, server_default=text("'en'")),
    Column("notifications", Text, nullable=False, server_default=text("'on'")),
    Column("push", JSONB, nullable=False, server_default=text("'[]'")),
    Column("erased", Boolean, nullable=False, server_default=text("false")),
)
"""Read copy of contacts; version 0 is a placeholder for one not yet known. Bound: one per influencer."""

influencer = Table(
    "influencer",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("display_name", Text, nullable=False),
)
"""Read copy of names. Bound: one per influencer."""

campaign = Table(
    "campaign",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("title", Text, nullable=False, server_default=text("''")),
    Column("approved", Boolean, nullable=False, server_default=text("false")),
    Column("start_date", Date),
    Column("end_date", Date),
    Column("ends_at", DateTime(timezone=True)),
    Column("budget_version", BigInteger, nullable=False, server_default=text("0")),
)
"""Read copy of campaigns; version 0 is a placeholder. Bound: one per campaign."""

participation = Table(
    "participation",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("campaign_id", Uuid, nullable=False),
    Column("influencer_id", Uuid, nullable=False),
    Column("joined_at", DateTime(timezone=True)),
    Column("withdrawn_at", DateTime(timezone=True)),
    Index("participation_campaign", "campaign_id", "id"),
)
"""Read copy of participations. Bound: one per participation."""

post = Table(
    "post",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("title", Text, nullable=False),
)
"""Read copy of posts. Bound: one per post."""

payment = Table(
    "payment",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("net", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
)
"""Read copy of payments. Bound: one per payment."""

user_level = Table(
    "user_level",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("organisation_id", Uuid, nullable=False),
    Column("levels", JSONB, nullable=False),
)
"""Read copy of users' own permission levels in their organisation. Bound: one per user."""

occasion = Table(
    "occasion",
    metadata,
    Column("campaign_id", Uuid, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("occurrence", Text, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("budget_version", BigInteger),
    Column("told", Boolean, nullable=False),
    Index("occasion_at", "at"),
)
"""What became of a whole campaign and is told to who took part at that instant, also when their
participation arrives later. `told` is false while the campaign isn't known. Bound: 30 days."""

announcement = Table(
    "announcement",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("occasion", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Column("delivered", Boolean, nullable=False),
    Index("announcement_open", "made_at", "id", postgresql_where=text("NOT delivered")),
    Index("announcement_made", "made_at"),
)
"""Parts of announcements that arrived. Bound: 60 days, twice as long as their topic keeps them."""

recipient = Table(
    "recipient",
    metadata,
    Column("announcement_id", Uuid, primary_key=True),
    Column("influencer_id", Uuid, primary_key=True),
    Column("campaign_ids", ARRAY(Uuid), nullable=False),
)
"""Whom an announcement is for. Bound: gone once it is delivered."""

suppression = Table(
    "suppression",
    metadata,
    Column("influencer_id", Uuid, primary_key=True),
    Column("cause", Text, primary_key=True),
    Column("address", Text, primary_key=True, server_default=text("''")),
    Column("at", DateTime(timezone=True), nullable=False),
)
"""What this service itself holds back: `unsubscribed` (everything), `bounced` (that address), `gone`
(that push endpoint). Bound: one, one and the number of subscriptions per influencer; the addresses go
when the contact no longer has them."""
