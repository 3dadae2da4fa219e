"""Every list reads a page by an index that holds its order, however much there is (paging.Cursor.over)."""

import re
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from souk.local.testing import page_plan

ADVERTISER = UUID(int=7)
AGENCY = UUID(int=8)
TALENT_AGENCY = UUID(int=9)
CAMPAIGN = UUID(int=1)
PARTICIPATION = UUID(int=2)
INFLUENCER = UUID(int=1)

_MANY = f"""
CREATE OR REPLACE FUNCTION pg_temp.id(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT lpad(to_hex(n), 32, '0')::uuid $$;
INSERT INTO account (id, version, advertiser_id, agency_id, currency)
    SELECT pg_temp.id(n), 1, CASE WHEN n % 500 = 0 THEN '{ADVERTISER}'::uuid ELSE pg_temp.id(10000 + n) END,
        CASE WHEN n % 500 = 0 THEN '{AGENCY}'::uuid END, 'USD'
    FROM generate_series(0, 1999) n;
INSERT INTO influencer (id, version, talent_agency_id)
    SELECT pg_temp.id(n), 1, CASE WHEN n % 500 = 0 THEN '{TALENT_AGENCY}'::uuid END
    FROM generate_series(0, 1999) n;
INSERT INTO participation (id, campaign_id, influencer_id, arrival, source_version, joined_at, changed_at)
    SELECT pg_temp.id(n), pg_temp.id(n / 10), pg_temp.id(n % 2000), n, 1, now(), now()
    FROM generate_series(0, 19999) n;
INSERT INTO entry (id, kind, campaign_id, participation_id, influencer_id, payment_id, currency, at,
        recorded_at, topic, subject, subject_version, event, rule_version, inputs)
    SELECT n, CASE WHEN n % 50 = 0 THEN 'payout' ELSE 'accrual' END, pg_temp.id(n % 200), pg_temp.id(n % 200),
        pg_temp.id(n % 200), CASE WHEN n % 50 = 0 THEN pg_temp.id(n) END, 'USD', now(), now(), 't',
        pg_temp.id(n), 1, 'e', 1, '{{}}'
    FROM generate_series(1, 20000) n;
INSERT INTO posting (entry_id, account, owner_id, influencer_id, currency, amount, at)
    SELECT e.id, CASE WHEN e.kind = 'accrual' THEN leg.accrued ELSE leg.paid END,
        e.campaign_id, e.influencer_id, 'USD', leg.amount, now()
    FROM entry e, (VALUES ('receivable', 'payout', 1), ('accrued', 'bank', -1)) AS leg (accrued, paid, amount)
    ORDER BY e.id;
INSERT INTO payment_run (run, cut_off, started_at)
    SELECT '2017-01-05'::date + n, now(), now() FROM generate_series(0, 9) n;
INSERT INTO payment (id, version, run, influencer_id, currency, gross, withholding, consumption_tax, fee, net,
        carried, status, paid_at, created_at, changed_at)
    SELECT gen_random_uuid(), 1, '2017-01-05'::date + n % 10, pg_temp.id(n / 10 % 1000),
        CASE WHEN n < 10000 THEN 'USD' ELSE 'JPY' END, 1, 0, 0, 0, 1, 0,
        CASE WHEN n % 100 = 0 THEN 'reviewing' ELSE 'paid' END, CASE WHEN n % 100 <> 0 THEN now() END, now(),
        now()
    FROM generate_series(0, 19999) n;
ANALYZE
"""


@pytest.fixture
async def many(billing: Any) -> Any:
    async with billing.units.begin() as work:
        driver = (await work.connection.get_raw_connection()).driver_connection
        await driver.execute(_MANY)
    return billing


RUN = date(2017, 1, 10).isoformat()
LISTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("staff", "/v1/payments", {}, "payment_by_run"),
    ("staff", "/v1/payments", {"run": RUN}, "payment_by_run"),
    ("staff", "/v1/payments", {"status": "reviewing"}, "payment_by_status"),
    ("staff", "/v1/payments", {"influencer_id": INFLUENCER}, "payment_influencer"),
    ("influencer", "/v1/payments", {}, "payment_influencer"),
    ("talent-agency", "/v1/payments", {}, "payment_influencer"),
    ("staff", "/v1/postings", {}, "posting_pkey"),
    ("staff", "/v1/postings", {"campaign_id": CAMPAIGN}, "entry_campaign"),
    ("staff", "/v1/postings", {"participation_id": PARTICIPATION}, "entry_participation"),
    ("staff", "/v1/postings", {"influencer_id": INFLUENCER}, "entry_influencer"),
    ("staff", "/v1/postings", {"payment_id": UUID(int=100)}, "entry_payment"),
    ("staff", "/v1/postings", {"account": "bank"}, "posting_of_payments"),
    ("staff", "/v1/postings", {"kind": "payout"}, "entry_kind"),
    ("staff", "/v1/earnings", {}, "participation_arrival"),
    ("staff", "/v1/earnings", {"campaign_id": CAMPAIGN}, "participation_campaign"),
    ("staff", "/v1/earnings", {"influencer_id": INFLUENCER}, "participation_influencer"),
    ("influencer", "/v1/earnings", {}, "participation_influencer"),
    ("talent-agency", "/v1/earnings", {}, "participation_influencer"),
    ("advertiser", "/v1/earnings", {}, "participation_campaign"),
    ("agency", "/v1/earnings", {}, "participation_campaign"),
]


async def test_each_list_has_its_index(many: Any, api: Any) -> None:
    callers = {
        "staff": api.staff,
        "advertiser": api.caller("advertiser", organisation=ADVERTISER),
        "agency": api.caller("agency", organisation=AGENCY),
        "talent-agency": api.caller("talent-agency", organisation=TALENT_AGENCY),
        "influencer": api.caller("influencer", influencer=INFLUENCER),
    }
    for role, path, query, index in LISTS:
        plan = await page_plan(many.units.engine, callers[role].get(path, **query))

        assert index in plan, (role, path, query, plan)
        assert not re.search("Seq Scan on (payment|posting|entry|participation)", plan), plan


async def test_the_next_page_of_a_campaigns_postings_begins_in_the_entries_index(many: Any, api: Any) -> None:
    query = {"campaign_id": CAMPAIGN, "limit": 100}
    first = (await api.staff.get("/v1/postings", **query)).json()

    plan = await page_plan(many.units.engine, api.staff.get("/v1/postings", **query, cursor=first["next"]))
    second = (await api.staff.get("/v1/postings", **query, cursor=first["next"])).json()

    assert re.search("entry_campaign.*\n *Index Cond: .*campaign_id = .*id >= ", plan), plan
    assert second["next"] is None
    seen = [posting["entry_id"] for posting in first["items"] + second["items"]]
    assert seen == sorted(n for n in range(1, 20_001) if n % 200 == 1 for _ in range(2))
