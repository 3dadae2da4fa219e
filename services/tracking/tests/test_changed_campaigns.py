"""What a newer state of a campaign does to what the campaign has already, however much that is."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from souk.contracts.ids import link_id, participation_id
from souk.contracts.topics.clicks import Click
from souk.contracts.topics.conversions import Conversion
from souk.tracking.handlers import clicks, conversions, links, posts

from .conftest import DAY, END, KENJI, MARIE, SPRING, START, campaign, participation

MORE_THAN_PARAMETERS = 33_000
TAKES_PART = participation_id(SPRING, MARIE)


async def has_posts(house, number):
    """The campaign has so many effective posts, a second after another, the first at its start."""
    async with house.units.begin() as work:
        await work.execute(
            text(
                "INSERT INTO post (id, version, changed_at, campaign_id, participation_id, influencer_id,"
                " account_id, platform, external_id, url, title, published_at, found_at, status, counts,"
                " observed_at)"
                " SELECT gen_random_uuid(), 1, :start, :campaign, gen_random_uuid(), :who, :who, 'youtube',"
                " 'v' || to_char(n, 'FM00000'), '', '', CAST(:start AS timestamptz)"
                " + n * interval '1 second', :start,"
                " 'effective', true, :start FROM generate_series(0, :number - 1) AS n"
            ),
            {"start": START, "campaign": SPRING, "who": MARIE, "number": number},
        )


async def statuses(house):
    rows = await house.query("SELECT status, count(*) FROM post GROUP BY status")
    return dict(rows)


@pytest.fixture
def small_parts(monkeypatch):
    """Parts so small that a few of everything are many."""
    for module, limit in (
        (posts, "_FOLLOWED_AT_ONCE"),
        (links, "_FOLLOWED_AT_ONCE"),
        (clicks, "_PAIRS_AT_ONCE"),
        (conversions, "_FOLLOWED_AT_ONCE"),
    ):
        monkeypatch.setattr(module, limit, 2)


async def test_an_edit_of_the_title_leaves_posts_alone(house):
    await house.hear(campaign(), participation())
    await has_posts(house, 1)

    async with house.units.begin() as busy, asyncio.timeout(5):
        await busy.execute(text("SELECT id FROM post FOR UPDATE"))
        await house.hear(campaign(version=2, title="Early spring"))

    assert await house.query("SELECT version FROM campaign") == [(2,)]


async def test_a_campaign_with_more_posts_than_a_statement_takes_parameters_is_stopped(house):
    await house.hear(campaign(), participation())
    await has_posts(house, MORE_THAN_PARAMETERS)
    stop = timedelta(seconds=MORE_THAN_PARAMETERS - 10)

    await house.hear(campaign(version=2, ends_at=START + stop))
    await house.run_due()

    assert await statuses(house) == {"effective": MORE_THAN_PARAMETERS - 10, "ineffective": 10}
    assert await house.run_due() == 0


@pytest.mark.usefixtures("small_parts")
async def test_posts_fall_and_come_back_in_parts_and_in_their_order(house):
    await house.hear(campaign(), participation())
    await has_posts(house, 7)
    await house.hear(campaign(version=2, ends_at=START))
    await house.run_due()
    fallen = [state.external_id for _, state in await house.published()]

    await house.hear(campaign(version=3))
    await house.run_due()

    assert fallen == [f"v{n:05}" for n in range(7)]
    assert await statuses(house) == {"pending": 7}
    assert [state.external_id for _, state in await house.published()] == fallen


@pytest.mark.usefixtures("small_parts")
async def test_links_and_clicks_follow_in_parts(house):
    people = [UUID(int=n) for n in range(1, 6)]
    await house.hear(campaign(type="url"), *(participation(each) for each in people))
    late = [
        Click(
            id=uuid4(), version=1, changed_at=END + timedelta(hours=1), campaign_id=SPRING, visitor=visitor,
            participation_id=participation_id(SPRING, each), agent="browser",
            link_id=link_id(participation_id(SPRING, each)),
        )
        for each in people for visitor in "abc"
    ]  # fmt: skip
    await house.hear(*late)
    before = await house.query("SELECT sum(billable), sum(outside_period) FROM link")

    await house.hear(campaign(version=2, type="url", ends_at=END + DAY, landing_url="https://new.example/"))
    await house.run_due()

    assert before == [(0, 15)]
    assert await house.query("SELECT billable, outside_period, landing_url FROM link") == [
        (3, 0, "https://new.example/")
    ] * len(people)


@pytest.mark.usefixtures("small_parts")
async def test_a_withdrawal_judges_more_clicks_than_one_part_holds(house):
    await house.hear(campaign(type="url"), participation(), participation(KENJI))
    await house.hear(
        *(
            Click(
                id=uuid4(), version=1, changed_at=START + DAY, campaign_id=SPRING, visitor=visitor,
                participation_id=TAKES_PART, agent="browser", link_id=link_id(TAKES_PART),
            )
            for visitor in "abcde"
        )
    )  # fmt: skip

    await house.hear(participation(version=2, state="withdrawn", withdrawn_at=START))
    await house.run_due()

    assert await house.query("SELECT billable, outside_period FROM link ORDER BY id = :own", own=link_id(TAKES_PART)) == [(0, 0), (0, 5)]  # noqa: E501  # fmt: skip


async def has_orders(house, *named):
    """The campaign has uncredited orders, an hour after another, each naming a code or a click."""
    async with house.units.begin() as work:
        for number, each in enumerate(named):
            await work.execute(
                text(
                    "INSERT INTO conversion (id, version, changed_at, campaign_id, order_id, shop_id, source,"
                    " ordered_at, updated_at, currency, codes, clicks, verdict, reason)"
                    " VALUES (gen_random_uuid(), 1, :at, :campaign, :number, gen_random_uuid(), 'shop',"
                    " :at, :at, 'USD', :codes, :clicks, 'unqualified', 'unknown_code')"
                ),
                {
                    "at": START + timedelta(hours=number),
                    "campaign": SPRING,
                    "number": str(number),
                    "codes": [each] if isinstance(each, str) else [],
                    "clicks": [each] if isinstance(each, UUID) else [],
                },
            )


async def test_a_participation_leaves_orders_with_other_codes_alone(house):
    await house.hear(campaign(type="ecommerce"))
    await has_orders(house, "other", "marie")

    async with house.units.begin() as busy, asyncio.timeout(5):
        await busy.execute(text("SELECT id FROM conversion WHERE codes = '{other}' FOR UPDATE"))
        await house.hear(participation(referral_code="Marie"))

    assert await house.query("SELECT codes FROM conversion WHERE verdict = 'qualified'") == [(["marie"],)]


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("by", ["code", "click"])
async def test_a_participation_is_credited_with_more_orders_than_one_part_holds(house, by):
    await house.hear(campaign(type="ecommerce"))
    name = uuid4()
    await house.hear(
        Click(
            id=name, version=1, changed_at=START, campaign_id=SPRING, participation_id=TAKES_PART,
            visitor="a", agent="browser", link_id=link_id(TAKES_PART),
        )
    )  # fmt: skip
    await has_orders(house, *[name if by == "click" else "marie"] * 5, "other")
    await house.published()

    await house.hear(participation(referral_code="Marie"))
    at_once = await house.query("SELECT count(*) FROM conversion WHERE attribution IS NOT NULL")
    await house.run_due()

    assert at_once == [(2,)]
    told = [state for _, state in await house.published() if isinstance(state, Conversion)]
    assert [(state.order_id, state.attribution) for state in told] == [(str(n), by) for n in range(5)]


@pytest.mark.usefixtures("small_parts")
async def test_a_change_while_a_campaign_is_followed_has_it_followed_again(house):
    await house.hear(campaign(), participation())
    await has_posts(house, 5)
    await house.hear(campaign(version=2, ends_at=START))

    async def change():
        await house.hear(campaign(version=3, ends_at=START + timedelta(seconds=1)))

    await house.run_due(before_unit=(4, change))
    await house.run_due()

    assert await statuses(house) == {"pending": 1, "ineffective": 4}


async def test_posts_of_a_campaign_are_approved_some_at_a_time_until_none_is_left(house, door):
    await house.hear(campaign(), participation())
    await has_posts(house, 501)

    answers = [
        (await door("staff", "POST", "/v1/posts/approve", {"campaign_id": str(SPRING)})).json()
        for _ in range(3)
    ]

    assert answers == [{"approved": 500, "left": 1}, {"approved": 1, "left": 0}, {"approved": 0, "left": 0}]
    told = [state.external_id for event, state in await house.published() if event == "post.approved"]
    assert told == [f"v{n:05}" for n in range(501)]
