"""The rules of posts, clicks, links and orders, by themselves."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise, permutations
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.contracts.ids import LinkId
from souk.contracts.money import Micros
from souk.contracts.topics.posts import Metrics
from souk.tracking.domain.clicks import Hit, Judged, Period, counters, decide, difference
from souk.tracking.domain.conversions import Line, Order, Refund, RefundedLine, refunded_lines
from souk.tracking.domain.hashtags import hashtags_of
from souk.tracking.domain.links import can_lead_to, landing_parts, slug_of
from souk.tracking.domain.metrics import Observation, is_ad_fraud, merge, usual_likes
from souk.tracking.domain.posts import Standing, counting

START = datetime(2017, 9, 20, tzinfo=UTC)
DAY = timedelta(days=1)
PERIOD = Period(START, START + 10 * DAY)

hits = st.lists(
    st.builds(
        lambda number, minutes, bot: Hit(UUID(int=number), START + timedelta(minutes=minutes), bot),
        st.integers(0, 10_000), st.integers(-2000, 20_000), st.booleans(),
    ),
    max_size=30, unique_by=lambda hit: hit.id,
)  # fmt: skip


@given(hits, st.randoms())
def test_verdicts_do_not_depend_on_the_order_of_arrival(clicks, chance):
    shuffled = list(clicks)
    chance.shuffle(shuffled)

    assert decide(clicks, PERIOD, DAY) == decide(shuffled, PERIOD, DAY)


@given(hits)
def test_billable_clicks_of_a_visitor_are_a_window_apart_and_every_duplicate_is_in_one(clicks):
    verdicts = decide(clicks, PERIOD, DAY)

    billable = sorted(hit.clicked_at for hit in clicks if verdicts[hit.id] == "billable")
    assert all(later - earlier >= DAY for earlier, later in pairwise(billable))
    for hit in clicks:
        if verdicts[hit.id] == "duplicate":
            assert any(at <= hit.clicked_at < at + DAY for at in billable)
        assert (verdicts[hit.id] == "bot") == hit.bot


@given(hits, hits)
def test_differences_of_counts_add_up(before, after):
    first = [Judged(verdict, reversed=False) for verdict in decide(before, PERIOD, DAY).values()]
    second = [Judged(verdict, reversed=True) for verdict in decide(after, PERIOD, DAY).values()]

    delta = difference(first, second)

    assert {name: counters(first)[name] + delta[name] for name in delta} == dict(counters(second))
    assert sum(counters(second).values()) == len(second)


standings = st.lists(
    st.builds(
        lambda number, day, status, counts: Standing(UUID(int=number), START + day * DAY, str(number), status, counts),  # noqa: E501
        st.integers(0, 50), st.integers(0, 5),
        st.sampled_from(["effective", "warning", "approved", "ineffective", "pending"]), st.booleans(),
    ),
    max_size=8, unique_by=lambda post: post.id,
)  # fmt: skip


@given(standings)
def test_without_multi_posting_at_most_one_live_post_counts(posts):
    counted = counting(posts, multi_posting=False)

    live = [post for post in posts if post.status in ("effective", "warning", "approved")]
    assert len([post for post in live if post.id in counted]) == min(1, len(live))
    assert not [post for post in posts if post.status == "ineffective" and post.id in counted]


@given(standings)
def test_an_approved_post_that_counts_is_never_displaced(posts):
    approved = [post for post in posts if post.status == "approved" and post.counts]

    counted = counting(posts, multi_posting=False)

    assert not approved or counted & {post.id for post in approved}


@pytest.mark.parametrize(
    ("likes", "previous", "fraud"),
    [(20, [10] * 5, False), (21, [10] * 5, True), (21, [10] * 4, False), (26, [10, 10, 10, 15, 16, 20], True),
     (25, [10, 10, 10, 15, 16, 20], False), (1, [0] * 20, True)],
)  # fmt: skip
def test_ad_fraud_is_more_than_twice_the_median_of_at_least_five(likes, previous, fraud):
    assert is_ad_fraud(likes, previous) is fraud
    assert usual_likes([1, 2, 3, 4]) is None


def test_a_hidden_count_keeps_its_last_value_and_a_shown_one_may_fall():
    known = Metrics(views=9, likes=8, comments=7, shares=6)

    assert merge(known, Observation(views=3, comments=0)) == Metrics(views=3, likes=8, comments=0, shares=6)


def test_a_hashtag_is_a_tag_in_lower_case_without_blanks():
    assert hashtags_of(["Stand Up\tComedy", " ", "FUNNY", "funny"]) == ("funny", "standupcomedy")


@given(st.uuids(), st.integers(0, 5))
def test_slugs_follow_from_the_link_and_are_ten_base_62_digits(name, attempt):
    slug = slug_of(LinkId(name), attempt)

    assert slug == slug_of(LinkId(name), attempt)
    assert slug.isascii()
    assert slug.isalnum()
    assert len(slug) == 10


@pytest.mark.parametrize(
    ("url", "made"),
    [
        ("https://a.example/p", "https://a.example/p?souk_click=ID"),
        ("https://a.example/p?a=1#top", "https://a.example/p?a=1&souk_click=ID#top"),
        ("https://a.example/p?", "https://a.example/p?souk_click=ID"),
        ("https://a.example/#x?y", "https://a.example/?souk_click=ID#x?y"),
    ],
)
def test_the_click_is_appended_to_the_query(url, made):
    before, after = landing_parts(url)

    assert f"{before}ID{after}" == made


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://", "//a.example", "https://a.example/\r\nx: y", "", None]
)
def test_a_link_leads_only_to_plain_web_addresses(url):
    assert not can_lead_to(url)


refunds = st.lists(
    st.builds(
        lambda number, line, subtotal, quantity: Refund(str(number), "1", (RefundedLine(line, quantity, subtotal),)),  # noqa: E501
        st.integers(0, 20), st.sampled_from(["a", "b", "c"]),
        st.none() | st.integers(0, 300).map(Micros), st.integers(0, 3),
    ),
    max_size=4, unique_by=lambda refund: refund.id,
)  # fmt: skip


@given(refunds)
def test_refunds_lower_their_own_lines_in_any_order_and_never_below_nothing(several):
    order = Order("1", START, START, "USD", (Line("a", 3, Micros(200)), Line("b", 1, Micros(50))))

    lines = refunded_lines(order, several)

    assert all(0 <= line.refunded <= line.net for line in lines)
    assert {refunded_lines(order, sequence) for sequence in permutations(several)} == {lines}
    untouched = {line.id for line in order.lines} - {
        part.line_id for refund in several for part in refund.lines
    }
    assert all(line.refunded == 0 for line in lines if line.id in untouched)
