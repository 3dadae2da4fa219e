"""Polls on a real database and over real HTTP: what becomes a post, and what happens to it."""

import asyncio
from datetime import timedelta

import pytest

from souk.contracts.ids import post_id
from souk.contracts.topics.earnings import Earning, Reinstatement
from souk.contracts.topics.posts import Post
from souk.tracking.handlers import posts
from souk.tracking.store import accounts
from souk.tracking.store import posts as store
from souk.tracking.store.tables import post

from .conftest import (
    AUTUMN,
    DAY,
    END,
    KENJI,
    MARIE,
    POLL,
    SPRING,
    START,
    campaign,
    influencer,
    participation,
)

HOUR = timedelta(hours=1)
WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def joined(house, *, channel="UCmarie", of=MARIE, **terms):
    house.tube.channel(channel)
    account = await house.connect(of, channel)
    await house.hear(campaign(**terms), participation(of, account_id=account))
    return account


async def standing(house):
    rows = await house.query(
        "SELECT external_id, status, counts, counted_views FROM post ORDER BY published_at, external_id"
    )
    return {row[0]: row[1:] for row in rows}


def answer_to(asked, *, granted, version=None):
    """What billing says to a post that asked to be effective again, at its version unless told otherwise."""
    told = Reinstatement(post_id=asked.id, post_version=version or asked.version, granted=granted)
    return Earning(
        id=asked.participation_id, version=told.post_version, changed_at=START, campaign_id=SPRING,
        influencer_id=MARIE, currency="USD", worth=0, revenue=0, capped=0, refused=0, approved=0,
        reinstated=(told,),
    )  # fmt: skip


async def post_named(house, name):
    async with house.units.begin(read_only=True) as work:
        return await work.fetch_one(post.select().where(post.c.external_id == name))


async def test_content_with_all_hashtags_inside_the_period_is_a_post(house):
    await joined(house)
    house.tube.video("inside", "UCmarie", START)
    house.tube.video("lacking", "UCmarie", START + HOUR, tags=["comedy"])
    house.tube.video("early", "UCmarie", START - HOUR)

    await house.poll(POLL)

    assert await standing(house) == {"inside": ("effective", True, 100)}


async def test_posts_are_published_by_time_and_id_and_only_when_something_changed(house):
    await joined(house)
    await joined(house, channel="UCkenji", of=KENJI)
    for name, channel, at in (
        ("b", "UCmarie", START),
        ("c", "UCkenji", START + HOUR),
        ("a", "UCkenji", START),
    ):
        house.tube.video(name, channel, at)
    await house.published()

    await house.poll(POLL)
    found = [state.external_id for event, state in await house.published() if event == "post.found"]
    await house.poll(POLL + DAY)

    assert found == ["a", "b", "c"]
    assert await house.published() == []


async def test_the_newest_observation_wins_downwards_too_and_a_hidden_count_changes_nothing(house):
    await joined(house)
    house.tube.video("v", "UCmarie", START, views=500, likes=50)
    await house.poll(POLL)

    house.tube.video("v", "UCmarie", START, views=300, likes=None)
    await house.poll(POLL + DAY)

    row = await post_named(house, "v")
    assert (row.version, row.counted_views, row.counted_likes) == (2, 300, 50)
    assert await house.query("SELECT views FROM post_snapshot ORDER BY observed_at") == [(500,), (300,)]


async def test_snapshots_are_made_of_what_changed_and_kept_for_400_days(house):
    account = await joined(house)
    house.tube.video("v", "UCmarie", START, views=500)
    await house.poll(POLL)
    await house.poll(POLL + DAY)
    house.tube.video("v", "UCmarie", START, views=700)
    house.tube.channel("UCmarie", followers=200)
    await house.poll(POLL + 2 * DAY)
    made = await house.query("SELECT observed_at, views FROM post_snapshot ORDER BY observed_at")

    await house.tidy(POLL + 401 * DAY)

    assert made == [(POLL, 500), (POLL + 2 * DAY, 700)]
    assert await house.query("SELECT observed_at, views FROM post_snapshot") == made[1:]
    followers = "SELECT account_id, observed_at, followers FROM follower_snapshot"
    assert await house.query(followers) == [(account, POLL + 2 * DAY, 200)]

    await house.tidy(POLL + 403 * DAY)

    assert await house.query("SELECT * FROM post_snapshot") == await house.query(followers) == []
    assert (await post_named(house, "v")).views == 700


async def test_an_approved_post_is_frozen_and_no_longer_followed(house):
    await joined(house)
    house.tube.video("v", "UCmarie", START)
    await house.poll(POLL)
    async with house.units.begin() as work:
        assert len(await posts.approve(work, post.c.campaign_id == SPRING)) == 1

    house.tube.video("v", "UCmarie", START, views=9999)
    await house.poll(POLL + DAY)

    assert (await standing(house))["v"] == ("approved", True, 100)


async def test_the_same_content_counts_in_each_of_two_campaigns(house):
    account = await joined(house)
    await house.hear(campaign(AUTUMN), participation(campaign_id=AUTUMN, account_id=account))
    house.tube.video("v", "UCmarie", START)

    await house.poll(POLL)

    assert {row[0] for row in await house.query("SELECT id FROM post")} == {
        post_id(SPRING, "youtube", "v"),
        post_id(AUTUMN, "youtube", "v"),
    }


async def test_content_seen_before_joining_is_a_post_though_others_have_posts_already(house):
    marie = await joined(house)
    autumn = campaign(AUTUMN, hashtags=("music",))
    kenji = await house.connect(KENJI, house.tube.channel("UCkenji"))
    await house.hear(autumn, participation(KENJI, AUTUMN, account_id=kenji))
    for name, channel in (("hers", "UCmarie"), ("his", "UCkenji")):
        house.tube.video(name, channel, START, tags=["music"])
    await house.poll(POLL)
    before = await standing(house)

    await house.hear(participation(MARIE, AUTUMN, account_id=marie))
    await house.poll(POLL + DAY)

    assert list(before) == ["his"]
    assert list(await standing(house)) == ["hers", "his"]


async def test_second_post_counts_once_the_first_is_ineffective(house):
    await joined(house, multi_posting=False)
    house.tube.video("first", "UCmarie", START)
    house.tube.video("second", "UCmarie", START + HOUR)
    await house.poll(POLL)
    before = await standing(house)

    async with house.units.begin() as work:
        await posts.make_ineffective(work, await post_named(house, "first"), "not on brand")

    assert (before["first"][1], before["second"][1]) == (True, False)
    after = await standing(house)
    assert after["first"][0] == "ineffective"
    assert after["second"][1]


async def told_standing(house):
    return [
        (state.external_id, state.counts) for _, state in await house.published() if isinstance(state, Post)
    ]


@pytest.mark.parametrize("change", ["found", "ineffective", "granted"])
async def test_what_stops_counting_is_told_before_what_begins_to(house, change):
    """In the other order the budget would be asked for both, and refuse what it holds after the fall."""
    await joined(house, multi_posting=False)
    house.tube.video("later", "UCmarie", START + HOUR)
    await house.poll(POLL)
    if change == "ineffective":
        async with house.units.begin() as work:
            await posts.approve(work, post.c.external_id == "later")
    if change == "found":
        await house.published()
    house.tube.video("earlier", "UCmarie", START)
    await house.poll(POLL + DAY)
    if change == "ineffective":
        await house.published()
        async with house.units.begin() as work:
            await posts.make_ineffective(work, await post_named(house, "later"), "not on brand")
    if change == "granted":
        async with house.units.begin() as work:
            await posts.make_ineffective(work, await post_named(house, "earlier"), "too early")
        async with house.units.begin() as work:
            await posts.ask_to_reinstate(work, await post_named(house, "earlier"))
        await house.published()
        await house.hear(answer_to(await post_named(house, "earlier"), granted=True))

    begins, stops = ("earlier", "later")
    assert await told_standing(house) == [(stops, False), (begins, True)]


async def since(house):
    """By content: the instant since which it counts, as the newest published state says."""
    return {
        state.external_id: state.counts_since
        for _, state in await house.published()
        if isinstance(state, Post)
    }


async def test_a_post_says_since_when_it_counts(house):
    await joined(house, multi_posting=False)
    house.tube.video("first", "UCmarie", START)
    house.tube.video("second", "UCmarie", START + HOUR)
    await house.poll(POLL)
    found = await since(house)

    house.now(POLL + HOUR)
    async with house.units.begin() as work:
        await posts.make_ineffective(work, await post_named(house, "first"), "not on brand")

    assert found == {"first": POLL, "second": None}
    assert await since(house) == {"first": None, "second": POLL + HOUR}


async def test_an_ineffective_post_counts_anew_since_it_was_asked_to_be_effective_again(house):
    await joined(house)
    house.tube.video("v", "UCmarie", START)
    await house.poll(POLL)
    found = await since(house)

    house.now(POLL + HOUR)
    async with house.units.begin() as work:
        await posts.make_ineffective(work, await post_named(house, "v"), "too early")
    ended = await since(house)
    house.now(POLL + 2 * HOUR)
    async with house.units.begin() as work:
        await posts.ask_to_reinstate(work, await post_named(house, "v"))

    assert (found, ended) == ({"v": POLL}, {"v": None})
    assert await since(house) == {"v": POLL + 2 * HOUR}


@pytest.mark.parametrize(
    ("granted", "status", "reason"), [(True, "effective", None), (False, "ineffective", "over_budget")]
)
async def test_a_post_is_effective_again_only_when_billing_grants_it(house, granted, status, reason):
    await joined(house)
    house.tube.video("v", "UCmarie", START)
    await house.poll(POLL)
    async with house.units.begin() as work:
        await posts.make_ineffective(work, await post_named(house, "v"), "too early")
    async with house.units.begin() as work:
        await posts.ask_to_reinstate(work, await post_named(house, "v"))
    asked = await post_named(house, "v")

    await house.hear(answer_to(asked, granted=granted, version=asked.version - 1))
    assert (await post_named(house, "v")).status == "pending"
    await house.hear(answer_to(asked, granted=granted))

    row = await post_named(house, "v")
    assert (row.status, row.reason) == (status, reason)


@pytest.mark.parametrize("approved", [False, True])
async def test_an_ineffective_post_is_measured_and_asks_back_with_its_latest_counts(house, approved):
    """An approval ends with the post's effect: effective again is new growth."""
    await joined(house)
    house.tube.video("v", "UCmarie", START)
    await house.poll(POLL)
    async with house.units.begin() as work:
        if approved:
            await posts.approve(work, post.c.campaign_id == SPRING)
        await posts.make_ineffective(work, await post_named(house, "v"), "too early")

    house.tube.video("v", "UCmarie", START, views=900)
    await house.poll(POLL + DAY)
    measured = await post_named(house, "v")
    async with house.units.begin() as work:
        await posts.ask_to_reinstate(work, measured)

    assert (measured.status, measured.views, measured.counted_views) == ("ineffective", 900, 100)
    assert measured.observed_at == POLL + DAY
    assert await house.query("SELECT views FROM post_snapshot ORDER BY observed_at") == [(100,), (900,)]
    _, asked = (await house.published())[-1]
    assert (asked.status, asked.counted.views, asked.approved_at) == ("pending", 900, None)


async def one_video_is_two_posts_of_which_springs_is_pending(house):
    account = await joined(house)
    await house.hear(campaign(AUTUMN), participation(campaign_id=AUTUMN, account_id=account))
    house.tube.video("v", "UCmarie", START)
    await house.poll(POLL)
    async with house.units.begin() as work:
        [row] = await store.lock(work, post.c.campaign_id == SPRING)
        await posts.make_ineffective(work, row, "too early")
    async with house.units.begin() as work:
        await posts.ask_to_reinstate(work, row)


async def test_a_poll_leaves_a_post_as_billing_was_asked_about_it(house):
    await one_video_is_two_posts_of_which_springs_is_pending(house)
    before = await house.query("SELECT campaign_id, version, status, counted_views FROM post")

    house.tube.video("v", "UCmarie", START, views=900)
    await house.poll(POLL + DAY)

    assert set(before) == {(SPRING, 3, "pending", 100), (AUTUMN, 1, "effective", 100)}
    after = await house.query("SELECT campaign_id, version, status, counted_views FROM post")
    assert set(after) == {(SPRING, 3, "pending", 100), (AUTUMN, 2, "effective", 900)}


async def test_a_pending_posts_snapshots_are_what_was_observed_and_end_with_the_newest(house):
    await one_video_is_two_posts_of_which_springs_is_pending(house)

    for day, views in enumerate((700, 700, 100), start=1):
        house.tube.video("v", "UCmarie", START, views=views)
        await house.poll(POLL + day * DAY)

    made = await house.query(
        "SELECT campaign_id, s.observed_at, s.views FROM post_snapshot s JOIN post ON post.id = post_id"
    )
    observed = {(POLL, 100), (POLL + DAY, 700), (POLL + 3 * DAY, 100)}
    for of in (SPRING, AUTUMN):
        assert {(at, views) for name, at, views in made if name == of} == observed


async def test_ineffective_posts_are_asked_for_until_the_end_and_while_others_of_the_campaign_are(house):
    await joined(house)
    for name in ("kept", "dropped"):
        house.tube.video(name, "UCmarie", START)
    await house.poll(POLL)
    async with house.units.begin() as work:
        await posts.make_ineffective(work, await post_named(house, "dropped"), "not on brand")

    house.tube.video("dropped", "UCmarie", START, views=900)
    await house.poll(END + DAY)
    followed = await post_named(house, "dropped")
    async with house.units.begin() as work:
        await posts.approve(work, post.c.external_id == "kept")
    house.tube.calls.clear()
    await house.poll(END + 2 * DAY)

    assert followed.views == 900
    assert "videos" not in house.tube.calls


async def test_uploads_are_read_once_for_a_video_that_is_gone(house):
    await joined(house)
    for name in ("v", "gone"):
        house.tube.video(name, "UCmarie", START)
    await house.poll(POLL)
    async with house.units.begin() as work:
        await posts.make_ineffective(work, await post_named(house, "gone"), "deleted")
    del house.tube.videos["gone"]

    await house.poll(POLL + DAY)
    await house.poll(POLL + 2 * DAY)
    house.tube.calls.clear()
    await house.poll(POLL + 3 * DAY)

    assert house.tube.calls == ["channels", "videos"]


async def test_twice_the_median_of_likes_is_no_fraud_and_one_more_is(house):
    await joined(house)
    for number in range(5):
        house.tube.video(f"old{number}", "UCmarie", START - (9 - number) * DAY, likes=10)
    house.tube.video("twice", "UCmarie", START, likes=20)
    house.tube.video("more", "UCmarie", START + HOUR, likes=21)

    await house.poll(POLL)

    states = await standing(house)
    assert (states["twice"][0], states["more"][0]) == ("effective", "warning")


async def test_a_solved_warning_is_not_raised_again_until_its_cause_is_a_new_one(house):
    await joined(house)
    house.tube.video("v", "UCmarie", START)
    await house.poll(POLL)
    video = house.tube.videos.pop("v")
    await house.poll(POLL + DAY)
    assert (await post_named(house, "v")).status == "warning"
    async with house.units.begin() as work:
        await posts.solve(work, await post_named(house, "v"), "deleted_post")

    await house.poll(POLL + 2 * DAY)
    assert (await post_named(house, "v")).status == "effective"
    house.tube.videos["v"] = video
    await house.poll(POLL + 3 * DAY)
    del house.tube.videos["v"]
    await house.poll(POLL + 4 * DAY)

    row = await post_named(house, "v")
    assert (row.status, len(row.warnings), row.counted_views) == ("warning", 2, 100)


async def test_a_post_that_loses_a_hashtag_is_warned_about_until_it_is_back(house):
    await joined(house)
    house.tube.video("v", "UCmarie", START)
    await house.poll(POLL)
    await house.published()

    house.tube.video("v", "UCmarie", START, tags=["comedy"], views=120)
    await house.poll(POLL + DAY)
    lost = await post_named(house, "v")
    house.tube.video("v", "UCmarie", START, views=120)
    await house.poll(POLL + 2 * DAY)
    back = await post_named(house, "v")

    assert (lost.status, lost.counts, lost.counted_views) == ("warning", True, 120)
    assert [(each["kind"], each["solved"]) for each in lost.warnings] == [("invalid_content", False)]
    assert (back.status, back.warnings[0]["solved"]) == ("effective", True)
    assert [event for event, _ in await house.published()] == ["post.warned", "post.solved"]


async def test_a_solved_warning_about_hashtags_comes_again_only_when_they_were_back_meanwhile(house):
    await joined(house)
    house.tube.video("v", "UCmarie", START)
    await house.poll(POLL)
    house.tube.video("v", "UCmarie", START, tags=["comedy"])
    await house.poll(POLL + DAY)
    async with house.units.begin() as work:
        await posts.solve(work, await post_named(house, "v"), "invalid_content")

    house.tube.video("v", "UCmarie", START, tags=["comedy", "music"], views=120)
    await house.poll(POLL + 2 * DAY)
    solved = await post_named(house, "v")
    house.tube.video("v", "UCmarie", START, views=120)
    await house.poll(POLL + 3 * DAY)
    house.tube.video("v", "UCmarie", START, tags=["funny"], views=120)
    await house.poll(POLL + 4 * DAY)
    again = await post_named(house, "v")

    assert (solved.status, solved.counted_views, len(solved.warnings)) == ("effective", 120, 1)
    assert (again.status, len(again.warnings)) == ("warning", 2)


@pytest.mark.parametrize("unit", [2, 4], ids=["followers", "uploads"])
async def test_a_poll_writes_nothing_of_somebody_who_was_erased_after_it_asked(house, unit):
    await joined(house)
    await house.hear(influencer())
    house.tube.video("v", "UCmarie", START)

    async def erase():
        await house.hear(influencer(version=2, erased=True))

    await house.poll(POLL, before_unit=(unit, erase))

    assert await house.query("SELECT handle, uploads, video_count FROM account") == [("", None, None)]
    assert await house.query("SELECT count(*) FROM content") == [(0,)]


async def test_quota_is_spent_only_where_something_can_have_changed(house):
    await joined(house)
    house.tube.video("v", "UCmarie", START)
    await house.poll(POLL)
    first = list(house.tube.calls)
    house.tube.calls.clear()

    await house.poll(POLL + DAY)

    assert first == ["channels", "playlistItems", "videos"]
    assert house.tube.calls == ["channels", "videos"]
    assert await house.query("SELECT used FROM quota ORDER BY day") == [(3,), (2,)]


async def test_what_was_spent_is_known_for_forty_days(house):
    await joined(house)

    for days in (0, 1, 41):
        await house.poll(POLL + days * DAY)

    spent = await house.query("SELECT day FROM quota ORDER BY day")
    assert spent == [((POLL + days * DAY).date(),) for days in (1, 41)]


async def test_a_poll_ends_quietly_when_the_quota_is_spent_and_the_next_goes_on(house):
    await joined(house)
    house.tube.video("v", "UCmarie", START)

    await house.poll(POLL, quota=2)
    assert await standing(house) == {}
    await house.poll(POLL + DAY, quota=2)

    assert list(await standing(house)) == ["v"]


async def test_a_failed_fetch_is_tried_again_and_lowers_nothing(house):
    await joined(house)
    house.tube.video("v", "UCmarie", START)
    house.tube.failures = [(500, "backendError"), (403, "rateLimitExceeded")]
    await house.poll(POLL)

    house.tube.failures = [(403, "forbidden")]
    await house.poll(POLL + DAY)
    house.tube.failures = [(403, "quotaExceeded")]
    await house.poll(POLL + 2 * DAY)

    assert await standing(house) == {"v": ("effective", True, 100)}


async def test_content_of_the_last_hours_is_found_after_the_end(house):
    await joined(house)
    await house.poll(POLL)
    house.tube.video("last", "UCmarie", END - HOUR)

    await house.poll(END + DAY)

    assert list(await standing(house)) == ["last"]


async def test_a_changed_period_re_evaluates_posts_but_never_approved_ones(house):
    account = await joined(house)
    for name, days in (("kept", 1), ("approved", 8), ("fallen", 9)):
        house.tube.video(name, "UCmarie", START + days * DAY)
    await house.poll(POLL + 10 * DAY)
    async with house.units.begin() as work:
        await posts.approve(work, post.c.external_id == "approved")

    await house.hear(campaign(version=2, ends_at=START + 5 * DAY))
    states = await standing(house)
    await house.hear(campaign(version=3, ends_at=END))

    assert {name: state[0] for name, state in states.items()} == {
        "kept": "effective", "approved": "approved", "fallen": "ineffective",
    }  # fmt: skip
    assert (await standing(house))["fallen"][0] == "pending"
    assert account


async def test_a_withdrawn_participation_gets_no_new_posts_and_keeps_the_old(house):
    account = await joined(house)
    house.tube.video("old", "UCmarie", START)
    await house.poll(POLL)
    await house.hear(
        participation(version=2, account_id=account, state="withdrawn", withdrawn_at=POLL + HOUR)
    )

    house.tube.video("new", "UCmarie", POLL + 2 * HOUR)
    house.tube.video("old", "UCmarie", START, views=900)
    await house.poll(POLL + DAY)

    assert await standing(house) == {"old": ("effective", True, 100)}


async def test_a_poll_and_an_erasure_of_the_same_person_do_not_wait_for_each_other(house):
    await joined(house)
    await house.hear(influencer())
    house.tube.video("v", "UCmarie", START)
    await house.poll(POLL)
    del house.tube.videos["v"]

    async def waiting(number):
        async with asyncio.timeout(10):
            while len(await house.query(WAITING)) < number:
                pass

    async with house.units.begin() as reader:
        await store.lock(reader, post.c.external_id == "v")
        polling = asyncio.create_task(house.poll(POLL + DAY))
        await waiting(1)
        erasing = asyncio.create_task(house.hear(influencer(version=2, erased=True)))
        await waiting(2)
    await polling
    await erasing

    assert await house.query("SELECT count(*) FROM content") == [(0,)]
    assert await house.query("SELECT connection, title FROM account, post") == [("stale", "")]


async def test_two_that_are_erased_at_once_are_locked_as_a_poll_locks_them(house):
    """By the accounts' ids, whichever person's they are."""
    first, second = sorted((MARIE, KENJI))
    for person, channel in ((second, "UCsecond"), (first, "UCfirst")):
        house.now(house.units.clock.now() + HOUR)
        house.tube.channel(channel)
        await house.hear(influencer(person))
        await house.connect(person, channel)
    of_second, of_first = [row[0] for row in await house.query("SELECT id FROM account ORDER BY id")]

    async with house.units.begin() as other:
        await accounts.lock_connected(other, [of_second])
        erasing = asyncio.create_task(
            house.hear(*(influencer(person, version=2, erased=True) for person in (first, second)))
        )
        async with asyncio.timeout(10):
            while not await house.query(WAITING):
                pass
        # Would be waited for, and never given, if the erasure had begun with the first person's.
        assert await accounts.lock_connected(other, [of_first])
    await erasing

    assert await house.query("SELECT DISTINCT connection FROM account") == [("stale",)]
