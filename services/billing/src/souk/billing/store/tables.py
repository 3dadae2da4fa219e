"""Billing's tables. Amounts are micros; keys, checks and indexes are in the migrations."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()


def _instant(name: str) -> Column[datetime]:
    return Column(name, DateTime(timezone=True))


def _micros(*names: str) -> list[Column[int]]:
    return [Column(name, BigInteger) for name in names]


def _fact() -> list[Column[Any]]:
    return [
        Column("kind", SmallInteger),
        Column("campaign_id", Uuid),
        Column("participation_id", Uuid),
        Column("version", BigInteger),
        _instant("changed_at"),
        Column("active", Boolean),
        Column("live", Boolean),
        Column("asks", Boolean),
        Column("would_count", Boolean),
        Column("disputed", Boolean),
        _instant("since"),
        Column("name", Text),
        _instant("fact_approved_at"),
        *_micros("views", "likes", "comments", "shares", "units", "reversed"),
        Column("lines", JSONB),
        Column("currency", Text),
    ]


account = Table(
    "account",
    metadata,
    Column("id", Uuid, primary_key=True),
    *_micros("version", "campaign_version", "terms_version", "terms_needed"),
    Column("advertiser_id", Uuid),
    Column("agency_id", Uuid),
    Column("approved", Boolean),
    Column("currency", Text),
    Column("rates", JSONB),
    *_micros("cap", "budget", "budget_version"),
    Column("multi_posting", Boolean),
    Column("margin", Integer),
    Column("agency_margin", Integer),
    _instant("ends_at"),
    Column("hold_days", Integer),
    _instant("settled_at"),
    *_micros("consumed", "revenue", "peak_cost"),
    Column("exhausted", Boolean),
    _instant("exhausted_at"),
    Column("behind", Boolean),
    _instant("changed_at"),
)
"""A campaign's terms and what its budget holds. Its row is the lock under which all money of the campaign
is decided. A placeholder until campaign and terms have arrived: those of `terms_needed`, which it was
approved on. `behind`: what waited is being folded, and what comes queues behind it. Bound: one row a
campaign."""

participation = Table(
    "participation",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("campaign_id", Uuid),
    Column("influencer_id", Uuid),
    Column("arrival", BigInteger),
    *_micros("version", "source_version"),
    _instant("joined_at"),
    Column("commission", Integer),
    Column("followers_base", BigInteger),
    *_micros("cap", "worth", "revenue", "capped", "refused", "cost", "approved"),
    Column("live_posts", Integer),
    Column("approved_posts", Integer),
    Column("reinstated", JSONB),
    _instant("changed_at"),
)
"""Sums of a participation's items. Bound: one row for each that ever joined."""

item = Table(
    "item",
    metadata,
    Column("id", Uuid, primary_key=True),
    *_fact(),
    Column("arrival", BigInteger),
    Column("folded", Boolean),
    *_micros("worth", "earned", "capped", "refused", "payable"),
    _instant("approved_at"),
    Column("approved_worth", BigInteger),
    Column("reason", Text),
)
"""A fact as last told and its split. Not `folded`: it waits for its campaign, terms or participation.
Bound: one row for each post, link, conversion and follower fee."""

queued_fact = Table(
    "queued_fact",
    metadata,
    Column("arrival", BigInteger, primary_key=True),
    Column("id", Uuid),
    *_fact(),
)
"""Facts of campaigns that are behind. Bound: what is told in the seconds until the job has caught up."""

entry = Table(
    "entry",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("kind", Text),
    Column("campaign_id", Uuid),
    Column("participation_id", Uuid),
    Column("influencer_id", Uuid),
    Column("item_id", Uuid),
    Column("payment_id", Uuid),
    Column("currency", Text),
    _instant("at"),
    _instant("recorded_at"),
    Column("topic", Text),
    Column("subject", Uuid),
    Column("subject_version", BigInteger),
    Column("event", Text),
    Column("rule_version", SmallInteger),
    Column("inputs", JSONB),
)
"""Why the ledger moved: the event, the rules' version and their inputs. Append-only; the ledger is kept
for good, as the books of a business are."""

posting = Table(
    "posting",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("entry_id", BigInteger),
    Column("account", Text),
    Column("owner_id", Uuid),
    Column("influencer_id", Uuid),
    Column("currency", Text),
    Column("amount", BigInteger),
    _instant("at"),
    Column("of_payment", Boolean),
)
"""The legs of entries: those of one entry sum to zero. Append-only."""

balance = Table(
    "balance",
    metadata,
    Column("account", Text, primary_key=True),
    Column("owner_id", Uuid, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("amount", BigInteger),
    Column("postings", BigInteger),
)
"""Sum and number of the postings of each ledger account and owner, kept with them."""

payment_run = Table(
    "payment_run",
    metadata,
    Column("run", Date, primary_key=True),
    _instant("cut_off"),
    _instant("started_at"),
    _instant("finished_at"),
    Column("payments", Integer),
)
"""Bound: one row a month."""

payment = Table(
    "payment",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger),
    Column("run", Date),
    Column("influencer_id", Uuid),
    Column("currency", Text),
    Column("country", Text),
    *_micros("gross", "withholding", "consumption_tax", "fee", "net", "carried"),
    Column("status", Text),
    _instant("paid_at"),
    Column("failure", Text),
    _instant("created_at"),
    _instant("changed_at"),
)
"""Bound: one row an influencer, currency and month; kept for good, like the ledger."""

payment_line = Table(
    "payment_line",
    metadata,
    Column("payment_id", Uuid, primary_key=True),
    Column("participation_id", Uuid, primary_key=True),
    Column("campaign_id", Uuid),
    *_micros("owed", "amount"),
)
"""What a payment pays for each participation: parts that equal its gross."""

payment_request = Table(
    "payment_request",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("influencer_id", Uuid),
    _instant("requested_at"),
    Column("run", Date),
)
"""An influencer asked to be paid; `run` answered it. Bound: one open and one a run for each influencer."""

member = Table(
    "member",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger),
    Column("organisation_id", Uuid),
    Column("levels", JSONB),
    Column("active", Boolean),
)
"""Copy of campaign.users: a user's own permission levels in their organisation."""

influencer = Table(
    "influencer",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger),
    Column("country", Text),
    Column("talent_agency_id", Uuid),
)
"""Copy of influencer.influencers: whose they are."""

payee = Table(
    "payee",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger),
    Column("country", Text),
    Column("payment_mode", Text),
    Column("consumption_tax_registered", Boolean),
    Column("erased", Boolean),
)
"""Copy of influencer.payees: how they are paid. Names, bank and tax numbers are not kept here."""
