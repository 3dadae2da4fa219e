"""The rule of eligibility, and that SQL decides as it does, both ways (domain.md §3)."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text

from souk.contracts.ids import AccountId
from souk.contracts.topics.campaigns import Audience
from souk.influencer.domain.eligibility import Account, Brief, Filter, Profile, age_on, judge
from souk.influencer.store.eligibility import campaigns_for, influencers_for
from souk.influencer.store.tables import account, campaign, influencer

DAY = date(2024, 2, 29)
CREATED = datetime(2024, 1, 1, tzinfo=UTC)
OPEN = Brief(Audience(), "normal", CREATED)
NOBODY = Profile(CREATED, None, (), None, None, ())
CONNECTED = Account(AccountId(UUID(int=1)), "youtube", "connected", 100)


def failed(profile: Profile, **audience: Any) -> tuple[Filter, ...]:
    return judge(replace(OPEN, audience=Audience(**audience)), profile, DAY).failed


def test_without_filters_everybody_is_eligible() -> None:
    assert failed(NOBODY) == ()


@pytest.mark.parametrize(
    ("audience", "reason"),
    [
        ({"regions": ["Kanto"]}, "region"),
        ({"categories": ["beauty"]}, "category"),
        ({"genders": ["female"]}, "gender"),
        ({"age_min": 0}, "age"),
        ({"age_max": 99}, "age"),
        ({"platforms": ["youtube"]}, "social_media"),
        ({"followers_min": 0}, "social_media"),
        ({"connections": ["public"]}, "social_media"),
    ],
)
def test_a_missing_value_fails_a_filter_that_is_set(audience: dict[str, Any], reason: Filter) -> None:
    assert failed(NOBODY, **audience) == (reason,)


@pytest.mark.parametrize(("followers", "holds"), [(9, False), (10, True), (20, True), (21, False)])
def test_bounds_are_inclusive(followers: int, holds: bool) -> None:
    profile = replace(NOBODY, accounts=(replace(CONNECTED, followers=followers),))

    assert (failed(profile, followers_min=10, followers_max=20) == ()) is holds


def test_one_account_has_to_pass_all_filters() -> None:
    large_elsewhere = Account(AccountId(UUID(int=2)), "tiktok", "connected", 10_000)
    profile = replace(NOBODY, accounts=(CONNECTED, large_elsewhere))

    assert failed(profile, platforms=["youtube"], followers_min=1_000) == ("followers",)


def test_a_stale_account_matches_only_when_asked_for() -> None:
    profile = replace(NOBODY, accounts=(replace(CONNECTED, connection="stale"),))

    assert failed(profile, platforms=["youtube"]) == ("connection",)
    assert failed(profile, platforms=["youtube"], connections=["stale"]) == ()


def test_a_closed_campaign_is_for_those_who_had_signed_up() -> None:
    closed = replace(OPEN, visibility="closed")

    assert judge(closed, NOBODY, DAY).eligible
    late = replace(NOBODY, signed_up_at=CREATED + timedelta(microseconds=1))
    assert judge(closed, late, DAY).failed == ("closed",)


def test_born_on_29_february_is_a_year_older_on_1_march() -> None:
    born = date(2004, 2, 29)

    assert [age_on(born, day) for day in (date(2022, 2, 28), date(2022, 3, 1), DAY)] == [17, 18, 20]


few = st.integers(0, 3)
bound = st.sampled_from([None, None, None, 0, 1, 2, 3])
regions, categories = st.sampled_from(["a", "b"]), st.sampled_from(["x", "y", "z"])
genders, platforms = st.sampled_from(["female", "male"]), st.sampled_from(["youtube", "tiktok"])
connections = st.sampled_from(["connected", "stale", "public"])
birth_dates = st.one_of(
    st.sampled_from([date(2022, 2, 28), date(2022, 3, 1), date(2020, 2, 29), date(2023, 2, 28)]),
    st.dates(date(2019, 1, 1), date(2024, 3, 5)),
)
instants = st.sampled_from([CREATED - timedelta(days=1), CREATED, CREATED + timedelta(microseconds=1)])


def some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Not set most of the time, else hardly anybody would pass seven filters."""
    lists = st.lists(values, min_size=1, max_size=2, unique=True).map(tuple)
    return st.sampled_from([False, False, False, True]).flatmap(
        lambda is_set: lists if is_set else st.just(())
    )


audiences = st.builds(
    Audience,
    platforms=some(platforms),
    connections=some(connections),
    regions=some(regions),
    categories=some(categories),
    genders=some(genders),
    age_min=bound,
    age_max=bound,
    followers_min=bound,
    followers_max=bound,
)
briefs = st.builds(Brief, audiences, st.sampled_from(["normal", "closed"]), st.just(CREATED))
owned = st.builds(Account, st.uuids().map(AccountId), platforms, connections, st.none() | few)
profiles = st.builds(
    Profile,
    instants,
    st.none() | regions,
    st.lists(categories, max_size=3, unique=True).map(tuple),
    st.none() | genders,
    st.none() | birth_dates,
    st.lists(owned, max_size=3, unique_by=lambda one: one.id).map(tuple),
)


@given(
    st.lists(briefs, min_size=4, max_size=8),
    st.lists(profiles, min_size=5, max_size=12),
    st.sampled_from([DAY, date(2024, 2, 28), date(2023, 2, 28), date(2024, 3, 1)]),
)
@settings(max_examples=25, deadline=None)
def _cases(wanted: list[Brief], people: list[Profile], day: date) -> None:
    CASES.append((wanted, people, day))


CASES: list[tuple[list[Brief], list[Profile], date]] = []


async def test_sql_agrees_with_the_rule_both_ways(units: Any) -> None:
    CASES.clear()
    _cases()

    seen = {True: 0, False: 0}
    for wanted, people, day in CASES:
        async with units.begin() as work:
            for table in (influencer, campaign, account):
                await work.execute(delete(table))
            campaigns = {uuid4(): brief for brief in wanted}
            persons = {uuid4(): profile for profile in people}
            await work.execute(insert(campaign), [_campaign_row(i, b) for i, b in campaigns.items()])
            await work.execute(insert(influencer), [_influencer_row(i, p) for i, p in persons.items()])
            accounts = [_account_row(i, a) for i, p in persons.items() for a in p.accounts]
            if accounts:
                await work.execute(insert(account), accounts)
            expected = {
                (c, i): judge(brief, profile, day).eligible
                for c, brief in campaigns.items()
                for i, profile in persons.items()
            }

            there = {
                (c, row.id)
                for c, brief in campaigns.items()
                for row in await work.fetch_all(select(influencer.c.id).where(influencers_for(brief, day)))
            }
            back = {
                (row.id, i)
                for i, profile in persons.items()
                for row in await work.fetch_all(select(campaign.c.id).where(campaigns_for(i, profile, day)))
            }

        eligible = {pair for pair, holds in expected.items() if holds}
        assert there == eligible
        assert back == eligible
        for holds in expected.values():
            seen[holds] += 1
    assert min(seen.values()) > 30, "both answers were compared often"


def _campaign_row(number: UUID, brief: Brief) -> dict[str, Any]:
    lists = {name: list(v) if isinstance(v, tuple) else v for name, v in brief.audience}
    return {
        "id": number, "version": 1, "advertiser_id": number, "type": "url", "lifecycle": "approved",
        "title": "", "created_at": brief.created_at, "approval_mode": "auto", "visibility": brief.visibility,
        "track_posts": False, "budget_version": 0, "brief": {}, **lists,
    }  # fmt: skip


def _influencer_row(number: UUID, profile: Profile) -> dict[str, Any]:
    return {
        "id": number, "version": 1, "changed_at": CREATED, "signed_up_at": profile.signed_up_at,
        "display_name": "", "region": profile.region, "gender": profile.gender, "tags": [],
        "birth_date": profile.birth_date, "categories": list(profile.categories),
    }  # fmt: skip


def _account_row(owner: UUID, one: Account) -> dict[str, Any]:
    return {
        "id": uuid4(), "version": 1, "influencer_id": owner, "platform": one.platform, "handle": "",
        "connection": one.connection, "followers": one.followers,
    }  # fmt: skip


async def test_many_influencers_are_found_by_index(units: Any) -> None:
    async with units.begin() as work:
        await work.execute(
            text(
                "INSERT INTO influencer "
                "(id, version, changed_at, signed_up_at, display_name, region, categories, tags) "
                "SELECT gen_random_uuid(), 1, now(), now(), n::text, 'r' || n % 1000, '{}', '{}' "
                "FROM generate_series(1, 20000) n"
            )
        )
        await work.execute(text("ANALYZE influencer"))
        wanted = select(influencer.c.id).where(
            influencers_for(replace(OPEN, audience=Audience(regions=("r7",))), DAY)
        )
        sql = wanted.compile(dialect=work.connection.dialect, compile_kwargs={"literal_binds": True})

        plan = [row[0] for row in await work.fetch_all(text(f"EXPLAIN {sql}"))]

    assert any("influencer_region" in line for line in plan), plan
