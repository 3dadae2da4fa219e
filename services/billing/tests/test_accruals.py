"""Facts become money on a real database (domain.md §6, §9)."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from souk.billing.handlers import accruals
from souk.billing.main import build
from souk.billing.settings import BillingSettings
from souk.billing.store import books
from souk.chassis.republish import republish
from souk.contracts.money import MICROS
from souk.contracts.topics.budgets import Budget
from souk.contracts.topics.campaigns import Rates
from souk.contracts.topics.earnings import Earning
from souk.contracts.topics.posts import Metrics

ENDS = datetime(2017, 10, 16, 4, tzinfo=UTC)


async def test_an_approved_campaign_with_its_terms_opens_a_budget(billing, states):
    await billing.tell(states.campaign(lifecycle="draft"), states.terms(margin=3_300))
    assert await billing.published() == []

    await billing.tell(states.campaign(budget=500))

    [(event, budget)] = await billing.published(Budget)
    assert (event, budget.budget, budget.consumed, budget.status) == ("budget.opened", 500, 0, "open")


async def test_a_post_earns_by_its_counted_metrics_and_costs_with_the_margin(billing, states):
    rates = Rates(posting=50 * MICROS, view=500, like=10_000, comment=20_000, share=7)
    await billing.tell(states.campaign(rates=rates), states.terms(margin=3_300), states.participation())

    await billing.tell(states.post(counted=Metrics(views=1_000, likes=3, comments=2, shares=1)))

    worth = 50 * MICROS + 500_000 + 30_000 + 40_000 + 7
    earning, account = await billing.earning(), await billing.account()
    assert (earning.worth, earning.revenue) == (worth, worth)
    assert account.consumed == account.peak_cost == -(-worth * 10_000 // 6_700)
    assert (await billing.balances())["accrued"] == -worth
    await billing.check_ledger()


@pytest.mark.parametrize(
    ("kind", "names"), [("item_values", books.ITEM), ("participation_values", books.SUMS)]
)
async def test_a_row_is_written_in_the_order_of_its_type(billing, kind, names):
    attributes = text(
        "SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute "
        "WHERE attrelid = CAST(:kind AS regclass)"
    )

    async with billing.units.begin(read_only=True) as work:
        assert tuple(await work.scalar(attributes, {"kind": kind})) == names


async def test_facts_that_arrive_in_any_order_give_the_same_figures(billing, states):
    rates = Rates(posting=5, view=1, click=3, conversion=11, commission=1_000, follower=2)
    told = [
        states.campaign(rates=rates, cap=400),
        states.terms(margin=3_300),
        states.participation(followers_base=13),
        states.post(views=70),
        states.link(billable=4),
        states.conversion(net=[1_000, 55], refunded=[500]),
    ]
    await billing.tell(*told)
    expected = await billing.figures()
    tables = "account, participation, item, balance, outbox, timer"

    for order in list(permutations(told))[::47]:
        await billing.sql(f"TRUNCATE {tables}")
        await billing.tell_each(*order)

        assert await billing.figures() == expected, [type(state).__name__ for state in order]
    assert ("post", 75, 75, 0, 0, 0) in expected
    assert ("order", 67, 67, 0, 0, 0) in expected


async def test_reading_everything_again_changes_nothing(billing, states):
    told = [
        states.campaign(cap=300, budget=500),
        states.terms(margin=3_300),
        states.participation("ann", followers_base=10),
        states.participation("bob"),
        *(states.post(f"p{n}", "ann", views=90 * n) for n in range(4)),
        states.post("p0", "ann", views=10),
        states.post("q", "bob", views=999),
        states.post("p1", "ann", status="ineffective", counts=True),
        states.conversion(net=[5], who=None),
    ]
    await billing.tell_each(*told)
    figures, published = await billing.figures(), await billing.published()

    await billing.tell(*told)
    await billing.tell_each(*told)

    assert await billing.figures() == figures
    assert await billing.published() == published
    await billing.check_ledger()


async def test_one_batch_and_one_by_one_are_the_same(billing, states):
    told = [states.campaign(budget=777, cap=150), states.terms(margin=1_700)]
    told += [states.participation(who) for who in ("ann", "bob", "cyd")]
    for n in range(40):
        who = ("ann", "bob", "cyd")[n % 3]
        told.append(states.post(f"{who}{n % 7}", who, views=(n * 37) % 101))
    await billing.tell_each(*told)
    expected = await billing.figures()
    await billing.check_ledger()

    await billing.sql("TRUNCATE account, participation, item, balance, outbox, timer")
    await billing.tell(*told)

    assert await billing.figures() == expected


async def test_the_budget_is_used_to_the_last_micro_and_then_nothing_is_earned(billing, states):
    await billing.tell(states.campaign(budget=101), states.terms(margin=3_300), states.participation("ann"),
                       states.participation("bob"))  # fmt: skip
    await billing.forget_published()

    await billing.tell(states.post("a", "ann", views=1_000), states.post("b", "bob", views=5))

    account, ann, bob = await billing.account(), await billing.earning("ann"), await billing.earning("bob")
    assert (account.consumed, account.peak_cost, account.exhausted) == (101, 101, True)
    assert (ann.revenue, ann.refused) == (67, 933)
    assert (bob.revenue, bob.refused) == (0, 5)
    [(event, budget)] = await billing.published(Budget)
    assert (event, budget.status, budget.exhausted_at) == (
        "budget.exhausted",
        "exhausted",
        billing.states.now,
    )
    assert len(await billing.published(Earning)) == 2


async def test_falling_counts_do_not_reopen_but_an_ineffective_post_and_a_raise_do(billing, states):
    await billing.tell(states.campaign(budget=100), states.terms(), states.participation())
    await billing.tell(states.post("a", views=60), states.post("b", views=60))
    assert (await billing.account()).exhausted

    await billing.tell(states.post("a", views=50))
    account = await billing.account()
    assert (account.consumed, account.exhausted) == (90, True)

    await billing.tell(states.post("a", views=50, status="ineffective"))
    account = await billing.account()
    assert (account.consumed, account.exhausted, account.peak_cost) == (40, False, 100)

    await billing.tell(states.post("b", views=200))
    assert (await billing.account()).exhausted
    await billing.tell(states.campaign(budget=150, budget_version=2))
    account = await billing.account()
    assert (account.budget, account.budget_version, account.exhausted) == (150, 2, False)
    assert [event for event, _ in await billing.published(Budget)] == [
        "budget.opened", "budget.exhausted", "budget.consumed", "budget.reopened", "budget.exhausted",
        "budget.reopened",
    ]  # fmt: skip
    await billing.check_ledger()


RATES = Rates(click=1, conversion=20, commission=1_000, follower=1)


@pytest.mark.parametrize(
    ("earns", "recounted"),
    [
        (lambda s: s.link(billable=100), lambda s: s.link(billable=90)),
        (lambda s: s.conversion(net=[800]), lambda s: s.conversion(net=[700])),
        (lambda s: s.conversion(net=[800]), lambda s: s.participation(followers_base=0, commission=900)),
        (lambda s: s.post(), lambda s: s.participation(followers_base=90)),
        (lambda s: s.post(), lambda s: s.post(counts=False)),
    ],
    ids=["clicks", "order value", "commission", "followers", "post that does not count"],
)
async def test_a_recount_alone_does_not_reopen_a_spent_campaign(billing, states, earns, recounted):
    await billing.tell(states.campaign(budget=100, rates=RATES), states.terms())
    await billing.tell(states.participation(followers_base=100), earns(states))
    assert (await billing.account()).exhausted

    await billing.tell(recounted(states))

    account = await billing.account()
    assert (account.exhausted, account.consumed < 100) == (True, True)


@pytest.mark.parametrize(
    ("earns", "released"),
    [
        (lambda s: s.link(billable=100), lambda s: s.link(billable=90, reversed=10)),
        (lambda s: s.conversion(net=[800]), lambda s: s.conversion(net=[800], refunded=[100])),
        (lambda s: s.conversion(net=[800]), lambda s: s.conversion(net=[800], verdict="unqualified")),
        (lambda s: s.conversion(net=[800]), lambda s: s.conversion(net=[800], who=None)),
        (lambda s: s.post(), lambda s: s.post(status="ineffective")),
        (lambda s: s.post(), lambda s: s.post(status="pending", counts=False)),
    ],
    ids=["reversed clicks", "refund", "verdict", "credit", "ineffective post", "post that asks to return"],
)
async def test_released_money_reopens_a_spent_campaign(billing, states, earns, released):
    await billing.tell(states.campaign(budget=100, rates=RATES), states.terms())
    await billing.tell(states.participation(followers_base=100), earns(states))
    assert (await billing.account()).exhausted

    await billing.tell(released(states))

    account = await billing.account()
    assert (account.exhausted, account.consumed < 100) == (False, True)


async def test_a_reversal_told_once_reopens_once(billing, states):
    await billing.tell(states.campaign(budget=100, rates=RATES), states.terms(), states.participation())
    await billing.tell(states.link(billable=100))
    await billing.tell(states.link(billable=90, reversed=10))
    await billing.tell(states.link(billable=110, reversed=10))
    assert (await billing.account()).exhausted

    await billing.tell(states.link(billable=95, reversed=10))

    assert (await billing.account()).exhausted


async def test_a_higher_cap_pays_capped_parts_by_who_joined_first(billing, states):
    await billing.tell(states.campaign(cap=50, budget=150), states.terms())
    later = billing.states.now + timedelta(days=1)
    await billing.tell(states.participation("bob", joined_at=later), states.participation("ann"))
    await billing.tell(states.post("b", "bob", views=90), states.post("a", "ann", views=90))

    await billing.tell(states.campaign(cap=80, budget=150))

    ann, bob = await billing.earning("ann"), await billing.earning("bob")
    assert (ann.revenue, ann.capped, ann.refused) == (80, 10, 0)
    assert (bob.revenue, bob.capped, bob.refused) == (70, 10, 10)
    await billing.check_ledger()


async def test_an_account_waits_for_the_terms_that_its_campaign_was_approved_on(billing, states):
    old, new = states.terms(margin=3_300), states.terms(margin=2_000)
    await billing.tell(old, states.campaign(terms_version=new.version), states.participation())
    await billing.tell(states.post(views=80))
    assert await billing.published() == []

    await billing.tell(new)

    assert ((await billing.account()).consumed, (await billing.earning()).revenue) == (100, 80)


async def test_terms_that_left_before_a_draft_or_after_the_approval_open_no_account_and_change_none(
    billing, states
):
    first, second, third = (states.terms(margin=margin) for margin in (0, 2_000, 5_000))
    draft = states.campaign(lifecycle="draft", terms_version=first.version)
    await billing.tell_each(states.campaign(terms_version=second.version), draft, first)
    assert await billing.published() == []

    await billing.tell_each(second, third, states.participation(), states.post(views=80))

    assert (await billing.account()).consumed == 100


async def test_terms_are_fixed_once_the_account_is_open(billing, states):
    await billing.tell(states.campaign(cap=50), states.terms(margin=3_300), states.participation())
    await billing.tell(states.post("first", views=1))

    await billing.tell(states.campaign(cap=20, budget=1, rates=Rates(view=9), currency="EUR"), states.terms())
    await billing.tell(states.post("second", views=9))

    account = await billing.account()
    assert (account.cap, account.budget, account.margin, account.currency) == (
        50,
        1_000 * MICROS,
        3_300,
        "USD",
    )
    assert (await billing.earning()).revenue == 10


async def test_approved_items_are_frozen_and_payable(billing, states):
    await billing.tell(states.campaign(), states.terms(), states.participation())
    await billing.tell(states.post(views=100))

    await billing.tell(states.post(views=120, status="approved"))
    await billing.tell(states.post(views=90, status="approved"))

    earning = await billing.earning()
    assert (earning.revenue, earning.approved) == (120, 120)
    assert (await billing.balances()) == {"receivable": 120, "payable": -120}
    assert [event for event, _ in await billing.published(Earning)][-1] == "earning.approved"


async def test_an_approved_post_made_ineffective_is_negative_payable_and_lowers_the_cost(billing, states):
    await billing.tell(states.campaign(), states.terms(margin=5_000), states.participation())
    await billing.tell(states.post(views=100, status="approved"))

    await billing.tell(states.post(views=100, status="ineffective", approved_at=None))

    earning = await billing.earning()
    assert (earning.revenue, earning.approved, (await billing.account()).consumed) == (0, 0, 0)
    assert await billing.balances() == {}
    await billing.check_ledger()


@pytest.mark.parametrize(("budget", "granted"), [(200, True), (199, False)])
async def test_a_post_is_reinstated_whole_or_refused_whole(billing, states, budget, granted):
    await billing.tell(states.campaign(budget=budget, multi_posting=True), states.terms())
    await billing.tell(states.participation())
    await billing.tell(states.post("a", views=100), states.post("b", views=50))
    await billing.tell(states.post("a", views=100, status="ineffective"))

    pending = states.post("a", views=150, status="pending")
    await billing.tell(pending)

    _, earning = (await billing.published(Earning))[-1]
    [answer] = earning.reinstated
    assert (answer.post_id, answer.post_version, answer.granted) == (pending.id, pending.version, granted)
    assert earning.revenue == (200 if granted else 50)
    assert earning.refused == 0
    await billing.tell(states.post("a", views=150, status="effective" if granted else "ineffective"))
    assert (await billing.earning()).revenue == earning.revenue


async def first_post_asks_to_return(billing, states, *, views=60, beside=50, **campaign):
    """The first post was ineffective, so the second counts; now the first asks to return."""
    await billing.tell(states.campaign(**campaign), states.terms(), states.participation())
    await billing.tell(states.post("a", views=views), states.post("b", views=beside, counts=False))
    await billing.tell(
        states.post("a", views=views, status="ineffective", counts=False), states.post("b", views=beside)
    )
    await billing.tell(states.post("a", views=views, status="pending"))
    _, earning = (await billing.published(Earning))[-1]
    [answer] = earning.reinstated
    return answer.granted


@pytest.mark.parametrize(
    ("campaign", "granted", "revenue"),
    [
        ({"budget": 100}, True, 60),
        ({"budget": 60}, True, 60),
        ({"budget": 59}, False, 50),
        ({"budget": 50}, False, 50),
        ({"budget": 100, "multi_posting": True}, False, 50),
        ({"budget": 110, "multi_posting": True}, True, 110),
    ],
)
async def test_a_post_that_returns_takes_the_place_of_the_one_that_counts(
    billing, states, campaign, granted, revenue
):
    assert await first_post_asks_to_return(billing, states, **campaign) is granted

    earning = await billing.earning()
    assert (earning.revenue, earning.refused) == (revenue, 0)
    if granted and not campaign.get("multi_posting"):
        await billing.tell(states.post("b", views=50, counts=False), states.post("a", views=60))
        assert (await billing.earning()).revenue == revenue
    await billing.check_ledger()


async def test_a_post_leaves_its_place_with_its_followers_fee_and_to_the_capped(billing, states):
    rates = Rates(view=1, follower=1, conversion=40)
    await billing.tell(states.campaign(budget=90, cap=80, rates=rates), states.terms())
    await billing.tell(states.participation(followers_base=10))
    await billing.tell(states.post("a", views=20, status="ineffective", counts=False))
    await billing.tell(states.post("b", views=50), states.conversion())
    assert await billing.items("order") == [(20, 20, 0)]

    await billing.tell(states.post("a", views=20, status="pending"))

    assert await billing.items("order") == [(40, 0, 0)]
    assert await billing.items("a") == [(20, 0, 0)]
    assert (await billing.earning()).revenue == 70
    await billing.check_ledger()


async def test_a_return_that_is_given_up_leaves_the_place_to_the_one_that_counted(billing, states):
    assert await first_post_asks_to_return(billing, states, budget=100)
    await billing.tell(states.post("b", views=55))
    assert (await billing.earning()).revenue == 60, "the other post has its place"

    await billing.tell(states.post("a", views=60, status="ineffective", counts=False))

    assert await billing.items("b") == [(55, 0, 0)]
    assert (await billing.earning()).revenue == 55
    await billing.check_ledger()


async def test_a_return_that_was_granted_and_not_taken_gives_back_what_it_took(billing, states):
    assert await first_post_asks_to_return(billing, states, budget=60)
    assert (await billing.account()).exhausted
    await billing.tell(states.post("b", views=50, status="approved"))

    await billing.tell(states.post("a", views=60, counts=False))

    account, earning = await billing.account(), await billing.earning()
    assert (account.exhausted, account.consumed) == (False, 50)
    assert (earning.revenue, earning.refused, earning.approved) == (50, 0, 50)
    await billing.check_ledger()


async def test_an_answer_stays_until_its_post_asks_no_more_however_many_ask(billing, states):
    posts = [f"post {n}" for n in range(60)]
    await billing.tell(states.campaign(budget=100, multi_posting=True), states.terms())
    await billing.tell(states.participation())
    await billing.tell(*(states.post(post, status="ineffective", views=3) for post in posts))
    asking = [states.post(post, status="pending", views=3) for post in posts]
    await billing.tell_each(*asking)

    _, earning = (await billing.published(Earning))[-1]
    answers = [(one.post_id, one.post_version, one.granted) for one in earning.reinstated]
    assert answers == [(one.id, one.version, n < 33) for n, one in enumerate(asking)]
    again = states.post(posts[0], status="pending", views=4)
    await billing.tell(again)
    await billing.tell(*(states.post(post, status="ineffective", views=3) for post in posts[1:]))

    _, earning = (await billing.published(Earning))[-1]
    assert [(one.post_id, one.post_version) for one in earning.reinstated] == [(again.id, again.version)]


async def test_the_follower_fee_is_due_once_while_a_post_counts(billing, states):
    await billing.tell(states.campaign(rates=Rates(follower=3)), states.terms(), states.participation())
    await billing.tell(states.post("a"), states.post("b"))
    assert (await billing.earning()).revenue == 0

    await billing.tell(states.participation(followers_base=100))
    assert (await billing.earning()).revenue == 300

    await billing.tell(states.post("a", status="approved"))
    earning = await billing.earning()
    assert (earning.revenue, earning.approved) == (300, 300)

    await billing.tell(states.post("a", status="ineffective"))
    assert (await billing.earning()).revenue == 300
    await billing.tell(states.post("b", status="ineffective"))
    earning = await billing.earning()
    assert (earning.revenue, earning.approved) == (0, 0)


async def test_commission_is_half_even_by_line_and_the_creators_own_rate_wins(billing, states):
    await billing.tell(states.campaign(rates=Rates(commission=500, conversion=7)), states.terms())
    await billing.tell(states.participation("ann"), states.participation("bob", commission=1_000))

    await billing.tell(
        states.conversion("1", "ann", net=[10, 30]),
        states.conversion("2", "bob", net=[15, 25]),
        states.conversion("3", "bob", net=[100], refunded=[40]),
        states.conversion("4", "bob", net=[100], refunded=[100]),
        states.conversion("5", "bob", net=[100], verdict="unqualified", reason="currency"),
        states.conversion("6", "bob", net=[100], currency="EUR"),
    )

    assert (await billing.item("1")).worth == 0 + 2 + 7
    assert (await billing.item("2")).worth == 2 + 2 + 7
    assert (await billing.item("3")).worth == 6 + 7
    assert [(await billing.item(name)).worth for name in "456"] == [0, 0, 0]
    await billing.tell(states.participation("bob", commission=2_000))
    assert (await billing.item("2")).worth == 3 + 5 + 7


@pytest.mark.parametrize(
    "amounts",
    [{"net": [10**13 + 1]}, {"net": [10**13, 1]}, {"net": [10**30]}, {"net": [1], "refunded": [-(10**20)]}],
    ids=["line", "order", "no bigint", "refund below nothing"],
)
async def test_an_order_of_absurd_amounts_is_worth_nothing_and_says_why(billing, states, api, amounts):
    await billing.tell(states.campaign(rates=Rates(commission=10_000)), states.terms())
    await billing.tell(states.participation(), states.conversion("1", net=[100]))

    await billing.tell(states.conversion("1", **amounts), states.conversion("2", **amounts))

    assert await billing.items("1") == await billing.items("2") == [(0, 0, 0)]
    assert [(await billing.item(name)).reason for name in "12"] == ["too_large", "too_large"]
    shown = (await api.staff.get(f"/v1/earnings/{states.part('ann')}/explanation")).json()
    assert [item["reason"] for item in shown["items"]] == ["too_large", "too_large"]
    [_, fall] = shown["entries"]["items"]
    assert (fall["inputs"]["worth"], fall["inputs"]["reason"]) == (0, "too_large")
    await billing.tell(states.conversion("1", net=[70]), states.conversion("2", net=[10**13]))
    assert [(await billing.item(name)).worth for name in "12"] == [70, 10**13]
    assert (await billing.item("1")).reason is None
    await billing.check_ledger()


async def test_what_no_sum_of_a_participation_holds_is_worth_nothing(billing, states):
    await billing.tell(states.campaign(rates=Rates(conversion=2**62, view=2**40), cap=9), states.terms())
    await billing.tell(states.participation(), states.conversion("1"))

    await billing.tell(states.conversion("2"), states.post(views=2**40), states.conversion("3", who=None))

    assert [(await billing.item(name)).reason for name in ("1", "2", "post")] == [
        None,
        "too_large",
        "too_large",
    ]
    assert (await billing.earning()).worth == 2**62
    await billing.check_ledger()


async def test_a_conversion_credited_to_another_takes_it_from_the_first(billing, states):
    await billing.tell(
        states.campaign(rates=Rates(conversion=9)), states.terms(), states.participation("ann")
    )
    await billing.tell(states.conversion(who="ann"))

    await billing.tell(states.conversion(who="bob"))
    assert (await billing.earning("ann")).revenue == 0
    await billing.tell(states.participation("bob"))

    assert (await billing.earning("bob")).revenue == 9
    await billing.check_ledger()


async def test_links_and_conversions_are_approved_after_the_hold_unless_disputed(billing, states):
    rates = Rates(click=2, conversion=10)
    await billing.tell(states.campaign(rates=rates, hold_days=3, ends_at=ENDS), states.terms())
    await billing.tell(states.participation())
    await billing.tell(states.link(billable=5), states.conversion("1"), states.conversion("2", disputed=True))

    billing.at(ENDS + timedelta(days=3) - timedelta(seconds=1))
    await billing.run_timers()
    assert (await billing.earning()).approved == 0
    billing.at(ENDS + timedelta(days=3))
    await billing.run_timers()

    assert (await billing.earning()).approved == 20
    await billing.tell(states.conversion("2"), states.conversion("3"))
    earning = await billing.earning()
    assert (earning.approved, earning.revenue) == (40, 40)
    await billing.tell(states.link(billable=3, reversed=2))
    assert (await billing.earning()).approved == 36, "a reversed verdict lowers what was approved"
    await billing.check_ledger()


async def test_clicks_told_after_the_settlement_are_earned_and_approved_as_they_come(billing, states):
    await billing.tell(states.campaign(rates=Rates(click=2), ends_at=ENDS), states.terms())
    await billing.tell(states.participation(), states.link(billable=5))
    billing.at(ENDS)
    await billing.run_timers()
    billing.at(ENDS + timedelta(minutes=7))

    revenues = []
    for clicks in (9, 9, 4, 6, 12):
        await billing.tell(states.link(billable=clicks))
        earning = await billing.earning()
        assert earning.approved == earning.revenue
        revenues.append(earning.revenue)

    assert revenues == [18, 18, 8, 12, 24]
    await billing.check_ledger()


async def test_what_is_told_late_is_approved_at_the_settlement_at_the_earliest(billing, states):
    rates = Rates(click=2, conversion=10)
    await billing.tell(states.campaign(rates=rates, hold_days=3, ends_at=ENDS), states.terms())
    await billing.tell(states.participation(), states.link(billable=5))
    billing.at(ENDS)
    clicks, order = states.link(billable=6), states.conversion()
    settled_at = ENDS + timedelta(days=3)
    billing.at(settled_at)
    await billing.run_timers()

    await billing.tell(clicks, order)

    assert (await billing.earning()).approved == 22
    assert await billing.payable_at() == [(settled_at, 10), (settled_at, 2), (settled_at, 10)]


async def test_an_approved_order_stays_frozen_when_its_value_rises(billing, states):
    await billing.tell(states.campaign(rates=Rates(commission=1_000), ends_at=ENDS), states.terms())
    await billing.tell(states.participation(), states.conversion(net=[100]))
    billing.at(ENDS)
    await billing.run_timers()

    await billing.tell(states.conversion(net=[300]))

    assert (await billing.earning()).revenue == 10


async def test_an_end_moved_later_settles_later_and_lets_links_earn_on(billing, states):
    first, second = datetime(2017, 10, 16, tzinfo=UTC), datetime(2017, 10, 20, tzinfo=UTC)
    await billing.tell(states.campaign(rates=Rates(click=1), ends_at=first), states.terms())
    await billing.tell(states.participation(), states.link(billable=5))
    billing.at(first)
    await billing.run_timers()

    await billing.tell(states.campaign(rates=Rates(click=1), ends_at=second))
    await billing.tell(states.link(billable=8))
    earning = await billing.earning()
    assert (earning.revenue, earning.approved) == (8, 5)
    await billing.tell(states.link(billable=3))
    assert (await billing.earning()).approved == 3, "what isn't approved goes first, then what is"
    await billing.tell(states.link(billable=8))

    billing.at(second)
    await billing.run_timers()
    assert (await billing.earning()).approved == 8
    await billing.check_ledger()


async def test_the_ledger_can_be_neither_changed_nor_unbalanced(billing, states):
    await billing.tell(states.campaign(), states.terms(), states.participation(), states.post(views=5))

    columns = "entry_id, account, owner_id, influencer_id, currency, at"
    for statement in (
        "UPDATE posting SET amount = 1",
        "DELETE FROM posting",
        "TRUNCATE posting",
        "UPDATE entry SET event = ''",
        "DELETE FROM entry",
        f"INSERT INTO posting ({columns}, amount) SELECT {columns}, 1 FROM posting LIMIT 1",
        "UPDATE account SET consumed = budget + 1, peak_cost = budget + 1",
        "UPDATE item SET earned = earned + 1",
        "UPDATE participation SET cap = revenue - 1",
        "UPDATE participation SET cost = revenue - 1",
    ):
        with pytest.raises(DBAPIError):
            await billing.sql(statement)


async def test_earnings_of_a_withdrawn_participation_are_kept(billing, states):
    await billing.tell(states.campaign(), states.terms(), states.participation(), states.post(views=5))

    await billing.tell(states.participation(state="withdrawn", withdrawn_at=states.now))

    assert (await billing.earning()).revenue == 5


async def test_no_concurrency_exceeds_the_budget_by_a_micro(billing, states):
    people = [f"p{n}" for n in range(8)]
    await billing.tell(states.campaign(budget=1_001), states.terms(margin=3_300))
    await billing.tell(*(states.participation(who) for who in people))
    told = [
        [states.post(f"{who}{n}", who, views=97) for n in range(3)]
        + [states.post(f"{who}{n}", who, views=97, status="ineffective") for n in range(2)]
        + [states.post(f"{who}again", who, views=31)]
        for who in people
    ]

    await asyncio.gather(*(billing.tell_each(*mine) for mine in told))

    account = await billing.account()
    assert account.consumed <= account.peak_cost <= 1_001
    await billing.check_ledger()


@pytest.mark.parametrize("chunk", [1, 3, 4, 10_000])
async def test_what_waited_is_folded_in_parts_and_in_the_order_of_its_arrival(
    billing, states, monkeypatch, chunk
):
    monkeypatch.setattr(accruals, "CHUNK", chunk)
    monkeypatch.setattr(accruals, "_PART", 3)
    await billing.tell(states.participation("ann"), states.participation("bob"))
    for n in range(10):
        await billing.tell(states.post(f"p{n}", ("ann", "bob")[n % 2], views=10))
    await billing.tell(states.conversion("1", "bob"), states.conversion("2", "bob", net=[10**9]))

    await billing.tell(states.campaign(budget=150, rates=Rates(view=1, conversion=10)), states.terms())
    assert (await billing.account()).consumed == min(chunk * 10, 120)
    await billing.tell(states.post("p0", "ann", views=15), states.conversion("1", None))
    await billing.tell(states.post("p7", "bob", views=16), states.post("q", "ann", views=12))
    await billing.tell(states.post("p0", "ann", views=30), states.conversion("2", "cyd"))
    await billing.tell(states.post("p1", "bob", views=100), states.participation("cyd"))
    assert (await billing.account()).consumed == min(chunk * 10, 150)
    await billing.run_timers()

    earned = [await billing.items(f"p{n}") for n in (0, 1, 7)]
    assert earned == [[(30, 0, 0)], [(12, 0, 88)], [(16, 0, 0)]]
    assert await billing.items("q") == [(12, 0, 0)]
    assert [await billing.items(name) for name in "12"] == [[(0, 0, 0)], [(10, 0, 0)]]
    assert ((await billing.account()).consumed, (await billing.account()).behind) == (150, False)
    assert [state.consumed for _, state in await billing.published(Budget)][-1] == 150
    assert await billing.queued() == 0
    await billing.check_ledger()


async def test_an_order_that_waited_and_is_credited_to_nobody_earns_nothing(billing, states):
    await billing.tell(states.participation(), states.conversion())
    await billing.tell(states.conversion(who=None))

    await billing.tell(states.campaign(rates=Rates(conversion=9)), states.terms())

    assert (await billing.earning()).revenue == 0


async def test_accounts_first_touched_by_two_at_once_miss_nothing_of_each_other(billing, states):
    told = [states.campaign(), states.terms(), states.participation(), states.post(views=7)]

    await asyncio.gather(*(billing.tell(state) for state in told))

    assert (await billing.earning()).revenue == 7


async def test_republishing_tells_the_newest_states_again(billing, states):
    await billing.tell(states.campaign(budget=100), states.terms(), states.participation(), states.payee())
    await billing.tell(states.post(views=250, status="approved"))
    await billing.tell(states.post(views=250, status="pending"))
    billing.at(states.now + timedelta(days=1))
    # Counts that nobody is told, and so no new version: nothing that is published may differ for them.
    await billing.tell(states.post("worthless", views=0))
    newest = {(type(state), state.id): state for _, state in await billing.published()}
    await billing.forget_published()

    await republish(billing.units, build(BillingSettings.model_construct()).republishers)

    assert {(type(state), state.id): state for _, state in await billing.published()} == newest


async def test_a_batch_of_participations_takes_as_many_statements_as_one(billing, states):
    await billing.tell(states.campaign(rates=Rates(posting=1)), states.terms(), states.participation("first"))
    statements = []
    listened = billing.units.engine.sync_engine, "before_cursor_execute", lambda *a: statements.append(a[2])

    event.listen(*listened)
    await billing.tell(states.participation("one"))
    for_one = len(statements)
    await billing.tell(*(states.participation(f"one of {n}") for n in range(200)))
    event.remove(*listened)

    assert len(statements) - for_one == for_one
    arrived = [(await billing.earning(f"one of {n}")).arrival for n in range(200)]
    assert arrived == sorted(arrived)
