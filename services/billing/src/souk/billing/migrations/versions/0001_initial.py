"""Accounts, items, ledger, payments, and the read copies of other services' states."""

from alembic import op

from souk.chassis.migrations import chassis_tables

revision = "0001"
down_revision = None

_TABLES = """
CREATE SEQUENCE arrival AS bigint CACHE 1;
CREATE SEQUENCE entry_id AS bigint CACHE 1;

CREATE TABLE account (
    id uuid PRIMARY KEY,
    version bigint NOT NULL DEFAULT 0,
    campaign_version bigint NOT NULL DEFAULT 0,
    terms_version bigint NOT NULL DEFAULT 0,
    advertiser_id uuid,
    approved boolean NOT NULL DEFAULT false,
    currency text,
    rates jsonb,
    cap bigint CHECK (cap >= 0),
    budget bigint NOT NULL DEFAULT 0 CHECK (budget >= 0),
    budget_version bigint NOT NULL DEFAULT 0,
    margin integer NOT NULL DEFAULT 3300 CHECK (margin >= 0 AND margin < 10000),
    agency_margin integer NOT NULL DEFAULT 0 CHECK (agency_margin >= 0 AND agency_margin < 10000),
    ends_at timestamptz,
    hold_days integer NOT NULL DEFAULT 0,
    settled_at timestamptz,
    consumed bigint NOT NULL DEFAULT 0,
    revenue bigint NOT NULL DEFAULT 0,
    peak_cost bigint NOT NULL DEFAULT 0,
    exhausted boolean NOT NULL DEFAULT false,
    exhausted_at timestamptz,
    changed_at timestamptz,
    CONSTRAINT account_within_budget CHECK (consumed >= 0 AND consumed <= budget),
    CONSTRAINT account_margin_not_negative CHECK (revenue >= 0 AND revenue <= consumed),
    CONSTRAINT account_peak CHECK (peak_cost >= consumed)
) WITH (fillfactor = 50);
CREATE INDEX account_advertiser ON account (advertiser_id);

CREATE TABLE participation (
    id uuid PRIMARY KEY,
    campaign_id uuid NOT NULL,
    influencer_id uuid NOT NULL,
    arrival bigint NOT NULL,
    version bigint NOT NULL DEFAULT 0,
    source_version bigint NOT NULL,
    joined_at timestamptz NOT NULL,
    commission integer,
    followers_base bigint,
    cap bigint,
    worth bigint NOT NULL DEFAULT 0,
    revenue bigint NOT NULL DEFAULT 0,
    capped bigint NOT NULL DEFAULT 0,
    refused bigint NOT NULL DEFAULT 0,
    cost bigint NOT NULL DEFAULT 0,
    approved bigint NOT NULL DEFAULT 0,
    live_posts integer NOT NULL DEFAULT 0 CHECK (live_posts >= 0),
    approved_posts integer NOT NULL DEFAULT 0 CHECK (approved_posts >= 0),
    reinstated jsonb NOT NULL DEFAULT '[]',
    changed_at timestamptz NOT NULL,
    CONSTRAINT participation_split
        CHECK (worth = revenue + capped + refused AND revenue >= 0 AND capped >= 0 AND refused >= 0),
    CONSTRAINT participation_within_cap CHECK (revenue <= cap),
    CONSTRAINT participation_cost CHECK (cost >= revenue),
    CONSTRAINT participation_approved CHECK (approved >= 0 AND approved <= revenue)
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX participation_arrival ON participation (arrival);
CREATE INDEX participation_campaign ON participation (campaign_id, arrival);
CREATE INDEX participation_influencer ON participation (influencer_id, arrival);

CREATE TABLE item (
    id uuid PRIMARY KEY,
    kind smallint NOT NULL,
    campaign_id uuid NOT NULL,
    participation_id uuid,
    arrival bigint NOT NULL,
    folded boolean NOT NULL,
    version bigint NOT NULL,
    changed_at timestamptz NOT NULL,
    active boolean NOT NULL,
    asks boolean NOT NULL,
    would_count boolean NOT NULL,
    disputed boolean NOT NULL,
    since timestamptz,
    name text NOT NULL,
    fact_approved_at timestamptz,
    views bigint NOT NULL,
    likes bigint NOT NULL,
    comments bigint NOT NULL,
    shares bigint NOT NULL,
    units bigint NOT NULL,
    lines jsonb,
    currency text,
    worth bigint NOT NULL,
    earned bigint NOT NULL,
    capped bigint NOT NULL,
    refused bigint NOT NULL,
    payable bigint NOT NULL,
    approved_at timestamptz,
    approved_worth bigint NOT NULL,
    CONSTRAINT item_split
        CHECK (worth = earned + capped + refused AND earned >= 0 AND capped >= 0 AND refused >= 0),
    CONSTRAINT item_payable CHECK (payable >= 0 AND payable <= earned),
    CONSTRAINT item_frozen CHECK (approved_at IS NULL OR (worth <= approved_worth AND payable = earned))
) WITH (fillfactor = 70);
CREATE INDEX item_participation ON item (participation_id, kind);
CREATE INDEX item_campaign ON item (campaign_id, kind);
CREATE INDEX item_capped ON item (participation_id) WHERE capped > 0;
CREATE INDEX item_waiting ON item (campaign_id, arrival) WHERE NOT folded;

CREATE TABLE entry (
    id bigint PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('accrual', 'approval', 'payment', 'payout')),
    campaign_id uuid,
    participation_id uuid,
    influencer_id uuid NOT NULL,
    item_id uuid,
    payment_id uuid,
    currency text NOT NULL,
    at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    topic text NOT NULL,
    subject uuid NOT NULL,
    subject_version bigint NOT NULL,
    event text NOT NULL,
    rule_version smallint NOT NULL,
    inputs jsonb NOT NULL
);
CREATE INDEX entry_participation ON entry (participation_id, id);
CREATE INDEX entry_campaign ON entry (campaign_id, id);
CREATE INDEX entry_payment ON entry (payment_id) WHERE payment_id IS NOT NULL;

CREATE TABLE posting (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry_id bigint NOT NULL,
    account text NOT NULL,
    owner_id uuid NOT NULL,
    influencer_id uuid NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL CHECK (amount <> 0),
    at timestamptz NOT NULL,
    of_payment boolean NOT NULL DEFAULT false
);
CREATE INDEX posting_entry ON posting (entry_id);
CREATE INDEX posting_payable ON posting (influencer_id, currency, owner_id)
    INCLUDE (amount, at, of_payment) WHERE account = 'payable';

CREATE TABLE balance (
    account text NOT NULL,
    owner_id uuid NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (account, owner_id, currency)
) WITH (fillfactor = 50);

CREATE TABLE payment_run (
    run date PRIMARY KEY,
    cut_off timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    payments integer NOT NULL DEFAULT 0
);

CREATE TABLE payment (
    id uuid PRIMARY KEY,
    version bigint NOT NULL,
    run date NOT NULL REFERENCES payment_run,
    influencer_id uuid NOT NULL,
    currency text NOT NULL,
    country text,
    gross bigint NOT NULL CHECK (gross > 0),
    withholding bigint NOT NULL CHECK (withholding >= 0),
    consumption_tax bigint NOT NULL CHECK (consumption_tax >= 0),
    fee bigint NOT NULL CHECK (fee >= 0),
    net bigint NOT NULL CHECK (net > 0),
    carried bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('reviewing', 'paid', 'failed')),
    paid_at timestamptz,
    failure text,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    CONSTRAINT payment_net CHECK (net = gross - withholding + consumption_tax - fee),
    CONSTRAINT payment_paid CHECK ((status = 'paid') = (paid_at IS NOT NULL)),
    UNIQUE (run, influencer_id, currency)
);
CREATE INDEX payment_influencer ON payment (influencer_id, run);

CREATE TABLE payment_line (
    payment_id uuid NOT NULL REFERENCES payment,
    participation_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    owed bigint NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (payment_id, participation_id)
);

CREATE TABLE payment_request (
    id uuid PRIMARY KEY,
    influencer_id uuid NOT NULL,
    requested_at timestamptz NOT NULL,
    run date
);
CREATE UNIQUE INDEX payment_request_open ON payment_request (influencer_id) WHERE run IS NULL;

CREATE TABLE organisation (
    id uuid PRIMARY KEY, version bigint NOT NULL, kind text NOT NULL, agency_id uuid
);
CREATE INDEX organisation_agency ON organisation (agency_id) WHERE agency_id IS NOT NULL;
CREATE TABLE member (
    id uuid PRIMARY KEY, version bigint NOT NULL, levels jsonb NOT NULL, active boolean NOT NULL
);
CREATE TABLE influencer (
    id uuid PRIMARY KEY, version bigint NOT NULL, country text, talent_agency_id uuid
);
CREATE INDEX influencer_talent_agency ON influencer (talent_agency_id) WHERE talent_agency_id IS NOT NULL;
CREATE TABLE payee (
    id uuid PRIMARY KEY, version bigint NOT NULL, country text, payment_mode text NOT NULL,
    consumption_tax_registered boolean NOT NULL, erased boolean NOT NULL
)
"""

_APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only' USING ERRCODE = 'restrict_violation';
END $$
"""

_BALANCED = """
CREATE FUNCTION refuse_unbalanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM fresh GROUP BY entry_id, currency HAVING sum(amount) <> 0) THEN
        RAISE EXCEPTION 'the legs of an entry must sum to zero' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    chassis_tables.create(op)
    for statement in _TABLES.split(";\n"):
        op.execute(statement)
    op.execute(_APPEND_ONLY)
    op.execute(_BALANCED)
    for table in ("entry", "posting"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    # All legs of an entry are written by one statement, so a check by statement sees them whole; a
    # deferred trigger by row costs more than the insert.
    op.execute(
        "CREATE TRIGGER posting_balanced AFTER INSERT ON posting REFERENCING NEW TABLE AS fresh "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_unbalanced()"
    )
