"""Every list reads a page by an index that holds its order, however much there is (paging.Cursor.over)."""

import re
from uuid import UUID

import pytest

from souk.local.testing import page_plan

from .conftest import TALENTS

CAMPAIGN = UUID(int=1)
INFLUENCER = UUID(int=4)

_MANY = f"""
CREATE OR REPLACE FUNCTION pg_temp.id(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT lpad(to_hex(n), 32, '0')::uuid $$;
INSERT INTO influencer (id, version, talent_agency_id)
    SELECT pg_temp.id(n), 1, CASE WHEN n % 500 = 0 THEN '{TALENTS}'::uuid END FROM generate_series(0, 1999) n;
INSERT INTO post (id, version, changed_at, campaign_id, participation_id, influencer_id, account_id, platform,
        external_id, url, title, published_at, found_at, status, counts, observed_at)
    SELECT pg_temp.id(n), 1, now(), pg_temp.id(n % 200), pg_temp.id(n), pg_temp.id(n % 2000), pg_temp.id(n),
        'youtube', n::text, '', '', now() - n * interval '1 minute', now(), 'effective', true, now()
    FROM generate_series(1, 20000) n;
INSERT INTO link (id, version, changed_at, campaign_id, participation_id, influencer_id, slug, url,
        landing_url)
    SELECT pg_temp.id(n), 1, now(), pg_temp.id(n % 200), pg_temp.id(n), pg_temp.id(n % 2000), n::text, '', ''
    FROM generate_series(1, 20000) n;
INSERT INTO conversion (id, version, changed_at, campaign_id, order_id, shop_id, source, ordered_at,
        updated_at, currency, participation_id, influencer_id, verdict)
    SELECT pg_temp.id(n), 1, now(), pg_temp.id(n % 200), n::text, pg_temp.id(n), 'shop',
        now() - n * interval '1 minute', now(), 'USD', pg_temp.id(n), pg_temp.id(n % 2000), 'qualified'
    FROM generate_series(1, 20000) n;
ANALYZE
"""

LISTS = [
    ("staff", "/v1/posts", {}, "post_time"),
    ("staff", "/v1/posts", {"campaign_id": CAMPAIGN}, "post_list"),
    ("staff", "/v1/posts", {"influencer_id": INFLUENCER}, "post_influencer"),
    ("influencer", "/v1/posts", {}, "post_influencer"),
    ("talent-agency", "/v1/posts", {}, "post_influencer"),
    ("staff", "/v1/links", {}, "link_campaign"),
    ("staff", "/v1/links", {"campaign_id": CAMPAIGN}, "link_campaign"),
    ("staff", "/v1/links", {"influencer_id": INFLUENCER}, "link_influencer"),
    ("influencer", "/v1/links", {}, "link_influencer"),
    ("talent-agency", "/v1/links", {}, "link_influencer"),
    ("staff", "/v1/conversions", {}, "conversion_time"),
    ("staff", "/v1/conversions", {"campaign_id": CAMPAIGN}, "conversion_list"),
    ("staff", "/v1/conversions", {"influencer_id": INFLUENCER}, "conversion_influencer"),
    ("influencer", "/v1/conversions", {}, "conversion_influencer"),
    ("talent-agency", "/v1/conversions", {}, "conversion_influencer"),
]
WHO = {"influencer": {"influencer": INFLUENCER}, "talent-agency": {"organisation": TALENTS}}


@pytest.fixture
async def many(house):
    async with house.units.begin() as work:
        driver = (await work.connection.get_raw_connection()).driver_connection
        await driver.execute(_MANY)
    return house


async def test_each_list_has_its_index(many, door):
    for role, path, query, index in LISTS:
        filters = "&".join(f"{name}={value}" for name, value in query.items())
        request = door(role, "GET", f"{path}?{filters}", **WHO.get(role, {}))
        plan = await page_plan(many.units.engine, request)

        assert index in plan, (role, path, query, plan)
        assert not re.search("Seq Scan on (post|link|conversion)", plan), plan
