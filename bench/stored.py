"""Facts as billing has stored them: written by SQL, set by set, as its intake would have left them.

An id follows from a number alone, so that facts about what is stored are told without a query: one would
bring what they touch into memory before it is measured.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import md5
from typing import Any
from uuid import UUID

import published

from souk.contracts.topics.participations import Participation
from souk.contracts.topics.posts import Metrics, Post

PEOPLE, POSTS, TOLD, VIEWS = 10, 4, 10, 100
FACTS = PEOPLE * POSTS * TOLD
"""Of a stored campaign: each of its posts was told ten times."""
TABLES = ("account", "participation", "item", "entry", "posting", "balance")
_CHUNK = 250

# A margin of one half: each fact moves the same amounts, and has all three legs of an accrual.
_LOAD = f"""
WITH campaign AS (
    INSERT INTO account (id, version, campaign_version, terms_version, advertiser_id, approved, currency,
                         rates, budget, budget_version, margin, ends_at, consumed, revenue, peak_cost,
                         changed_at)
    SELECT md5('campaign ' || n)::uuid, 1, 1, 1, md5('advertiser')::uuid, true, 'USD', '{{"view": 1}}',
           10::bigint ^ 15, 1, 5000, now() + interval '30 days', 2 * sum, sum, 2 * sum, now()
    FROM generate_series($1::int, $2::int) n, (SELECT {PEOPLE * POSTS * VIEWS} * $3::int AS sum)
    RETURNING id, revenue
), who AS (
    INSERT INTO participation (id, campaign_id, influencer_id, arrival, version, source_version, joined_at,
                               worth, revenue, cost, live_posts, changed_at)
    SELECT md5(id || ' ' || k)::uuid, id, md5(id || ' by ' || k)::uuid, nextval('arrival'), 1, 1,
           now() - interval '1 day', revenue / {PEOPLE}, revenue / {PEOPLE}, 2 * revenue / {PEOPLE},
           CASE WHEN revenue > 0 THEN {POSTS} ELSE 0 END, now()
    FROM campaign, generate_series(1, {PEOPLE}) k
    RETURNING id, campaign_id, influencer_id, revenue
), post AS (
    INSERT INTO item (id, kind, campaign_id, participation_id, arrival, folded, version, changed_at, active,
                      live, asks, would_count, disputed, since, name, views, likes, comments, shares, units,
                      worth, earned, capped, refused, payable, approved_worth)
    SELECT md5(id || ' ' || k)::uuid, 1, campaign_id, id, nextval('arrival'), true, $3, now(), true,
           true, false, true, false, now(), left(id::text, 8) || k, {VIEWS} * $3, $3, 1, 0, 0,
           {VIEWS} * $3, {VIEWS} * $3, 0, 0, 0, 0
    FROM who, generate_series(1, {POSTS}) k WHERE revenue > 0
    RETURNING id, campaign_id, participation_id
), fact AS (
    INSERT INTO entry (id, kind, campaign_id, participation_id, influencer_id, item_id, currency, at,
                       recorded_at, topic, subject, subject_version, event, rule_version, inputs)
    SELECT nextval('entry_id'), 'accrual', who.campaign_id, who.id, influencer_id, post.id, 'USD', now(),
           now(), 'tracking.posts.v1', post.id, version, 'post.measured', 1,
           jsonb_build_object('views', {VIEWS} * version, 'worth', {VIEWS} * version, 'rate', 1)
    FROM post JOIN who ON who.id = participation_id, generate_series(1, $3) version
    RETURNING id, campaign_id, participation_id, influencer_id
), leg AS (
    INSERT INTO posting (entry_id, account, owner_id, influencer_id, currency, amount, at)
    SELECT id, account, owner_id, influencer_id, 'USD', amount, now()
    FROM fact, LATERAL (VALUES ('receivable', campaign_id, {2 * VIEWS}), ('margin', campaign_id, -{VIEWS}),
                               ('accrued', participation_id, -{VIEWS})) legs (account, owner_id, amount)
)
INSERT INTO balance (account, owner_id, currency, amount, postings)
SELECT account, owner_id, 'USD', amount, postings
FROM (
    SELECT 'receivable' AS account, id AS owner_id, 2 * revenue AS amount, revenue / {VIEWS} AS postings
    FROM campaign
    UNION ALL SELECT 'margin', id, -revenue, revenue / {VIEWS} FROM campaign
    UNION ALL SELECT 'accrued', id, -revenue, revenue / {VIEWS} FROM who
) sums WHERE amount <> 0
"""
_INDEXES = """
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS made
FROM pg_index WHERE indrelid = ANY($1::regclass[]) AND NOT indisunique
"""


async def load(connection: Any, numbers: range, told: int = TOLD) -> None:
    """Store the campaigns with these numbers, their people and `told` facts about each of their posts.

    The trigger on the ledger's legs stays: it holds the load to what the intake is held to.
    """
    for first in range(numbers.start, numbers.stop, _CHUNK):
        last = min(first + _CHUNK, numbers.stop) - 1
        await connection.execute(_LOAD, first, last, told)


async def load_many(connection: Any, numbers: range) -> None:
    """Like `load`, with the indexes made anew afterwards: one by one their leaves are written all over.

    What autovacuum would do in the midst of the measuring is done at once: statistics for the planner,
    and the visibility map.
    """
    indexes = await connection.fetch(_INDEXES, TABLES)
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}")
    await load(connection, numbers)
    await connection.execute("SET maintenance_work_mem = '256MB'")
    for index in indexes:
        await connection.execute(index["made"])
    await settle(connection)


async def settle(connection: Any) -> None:
    await connection.execute(f"VACUUM (ANALYZE) {', '.join(TABLES)}")


def people(number: int) -> list[Participation]:
    """Who takes part in the campaign with this number."""
    now = datetime.now(UTC)
    campaign = _id(f"campaign {number}")
    return [
        Participation(
            id=_id(f"{campaign} {k}"),
            version=1,
            changed_at=now,
            campaign_id=campaign,
            influencer_id=_id(f"{campaign} by {k}"),
            state="joined",
            joined_at=now,
        )
        for k in range(1, PEOPLE + 1)
    ]


def facts(numbers: list[int], versions: range) -> Iterator[Post]:
    """The posts of these campaigns, version by version: each is worth the same more than the last."""
    now = datetime.now(UTC)
    everybody = [who for number in numbers for who in people(number)]
    for version in versions:
        counted = Metrics(views=VIEWS * version, likes=version, comments=1)
        for who in everybody:
            for k in range(1, POSTS + 1):
                name = f"{str(who.id)[:8]}{k}"
                yield published.post(who, _id(f"{who.id} {k}"), name, version, counted, now)


def _id(name: str) -> UUID:
    return UUID(md5(name.encode(), usedforsecurity=False).hexdigest())
