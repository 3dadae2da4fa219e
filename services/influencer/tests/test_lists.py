"""Every list reads a page by an index that holds its order, however much there is (paging.Cursor.over)."""

import re
from typing import Any
from uuid import UUID

import pytest

from souk.local.testing import page_plan

CAMPAIGN = UUID(int=1)
INFLUENCER = UUID(int=1)
ORGANISATION = UUID(int=7)

_MANY = f"""
CREATE OR REPLACE FUNCTION pg_temp.id(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT lpad(to_hex(n), 32, '0')::uuid $$;
INSERT INTO influencer (id, version, changed_at, signed_up_at, display_name, talent_agency_id, gender,
        birth_date, categories, tags)
    SELECT pg_temp.id(n), 1, now(), now() + n * interval '1 s', n::text,
        CASE WHEN n % 5000 = 0 THEN '{ORGANISATION}'::uuid END, CASE n % 3 WHEN 0 THEN 'female' END,
        CASE WHEN n % 3 = 0 THEN '1990-01-01'::date + n % 7000 END, '{{}}', '{{}}'
    FROM generate_series(0, 19999) n;
INSERT INTO participation (id, version, created_at, changed_at, campaign_id, influencer_id, state)
    SELECT pg_temp.id(n), 1, now() + n * interval '1 s', now(), pg_temp.id(n / 10), pg_temp.id(n * 7 % 2000),
        'joined'
    FROM generate_series(0, 19999) n;
INSERT INTO campaign (id, version, advertiser_id, agency_id, type, lifecycle, title, created_at, starts_at,
        ends_at, approval_mode, visibility, track_posts, budget_version, platforms, connections, regions,
        categories, genders, brief)
    SELECT pg_temp.id(n), 1,
        CASE WHEN n % 5000 = 0 THEN '{ORGANISATION}'::uuid ELSE pg_temp.id(10000 + n) END,
        CASE WHEN n % 5000 = 0 THEN '{ORGANISATION}'::uuid END, 'url', 'approved', n::text, now(),
        now() + n * interval '1 s', now() + n * interval '1 d', 'auto', 'normal', true, 1, '{{}}', '{{}}',
        '{{}}', '{{}}', '{{}}', (SELECT brief FROM campaign)
    FROM generate_series(0, 19999) n;
INSERT INTO referral_code (campaign_id, position, advertiser_id, code)
    SELECT pg_temp.id(n / 1000), n % 1000 + 1, pg_temp.id(n / 1000), n::text
    FROM generate_series(0, 9999) n;
ANALYZE
"""


@pytest.fixture
async def many(suite: Any) -> Any:
    await suite.reads(suite.campaign())
    async with suite.units.begin() as work:
        driver = (await work.connection.get_raw_connection()).driver_connection
        await driver.execute(_MANY)
    return suite


SELECTION = f"/v1/selections/{CAMPAIGN}"
_OF_CAMPAIGN = "participation_(campaign|once)"
"""Either, for a tenant's few campaigns are read whole."""
LISTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("staff", "/v1/influencers", {}, "influencer_signed_up"),
    ("talent-agency", "/v1/influencers", {}, "influencer_talent_agency"),
    ("advertiser", "/v1/influencers", {}, _OF_CAMPAIGN),
    ("staff", "/v1/participations", {}, "participation_created"),
    ("staff", "/v1/participations", {"campaign_id": CAMPAIGN}, "participation_campaign"),
    ("staff", "/v1/participations", {"influencer_id": INFLUENCER}, "participation_influencer"),
    ("talent-agency", "/v1/participations", {}, "participation_influencer"),
    ("advertiser", "/v1/participations", {}, _OF_CAMPAIGN),
    ("agency", "/v1/participations", {}, _OF_CAMPAIGN),
    ("staff", SELECTION, {}, "influencer_sign_up"),
    ("staff", SELECTION, {"sort": "display_name"}, "influencer_name"),
    ("staff", SELECTION, {"sort": "talent_agency", "order": "desc"}, "influencer_by_talent_agency"),
    ("staff", SELECTION, {"sort": "gender"}, "influencer_by_gender"),
    ("staff", SELECTION, {"sort": "age"}, "influencer_by_age"),
    ("staff", "/v1/offers", {"influencer_id": INFLUENCER}, "campaign_offered"),
    ("staff", "/v1/referral-codes", {"campaign_id": CAMPAIGN}, "referral_code_pkey"),
]


async def test_each_list_has_its_index(many: Any) -> None:
    for role, path, query, index in LISTS:
        caller = many.staff if role == "staff" else many.caller(role, ORGANISATION)
        plan = await page_plan(many.units.engine, caller.get(path, **query))

        assert re.search(index, plan), (role, path, query, plan)
        assert not re.search("Seq Scan on (influencer|participation|campaign|referral_code)", plan), plan
