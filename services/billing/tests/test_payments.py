"""Payment runs on a real database (domain.md §6)."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select

from souk.billing.handlers import accruals
from souk.billing.handlers import payments as handlers
from souk.billing.store.tables import payment_line
from souk.chassis.problems import Refused
from souk.chassis.tables import timer
from souk.contracts.money import MICROS
from souk.contracts.reasons import Reason
from souk.contracts.topics.campaigns import Rates
from souk.contracts.topics.payments import Payment

CUT_OFF = datetime(2017, 11, 4, 16, tzinfo=UTC)
JUST_IN_TIME = CUT_OFF - timedelta(microseconds=1)


async def opened(billing, states, *campaigns, **fields):
    for name in campaigns or ("campaign",):
        await billing.tell(
            states.campaign(name, **fields), states.terms(name), states.participation("ann", name)
        )


async def settle(billing, outcome, payments, failure=None):
    async with billing.units.begin() as work:
        rows = await handlers.store.lock(work, [payment.id for payment in payments])
        await handlers.settle_payments(work, rows, outcome, failure)


async def test_posts_approved_before_the_cut_off_are_paid_and_later_ones_wait_a_month(billing, states):
    await opened(billing, states)
    await billing.tell(states.payee())
    billing.at(JUST_IN_TIME)
    await billing.tell(states.post("a", views=3 * MICROS, status="approved"))
    billing.at(CUT_OFF)
    await billing.tell(states.post("b", views=5 * MICROS, status="approved"))

    await billing.run_payments()
    [first] = await billing.payments()
    await billing.run_payments(date(2017, 12, 5))

    _, second = await billing.payments()
    assert (first.gross, first.net, first.status) == (3 * MICROS, 3 * MICROS, "reviewing")
    assert second.gross == 5 * MICROS
    assert [event for event, _ in await billing.published(Payment)] == ["payment.made"] * 2
    await billing.check_ledger()


async def test_a_run_waits_for_whatever_holds_back_what_was_approved_before_the_cut_off(billing, states):
    parts = [states.campaign(), states.terms(), states.participation(), states.influencer(), states.payee()]
    billing.at(JUST_IN_TIME)
    post = states.post(views=MICROS, status="approved")

    for late in parts:
        await billing.tell(post, *(state for state in parts if state is not late))
        await billing.run_payments(date(2017, 11, 5), late)

        assert [payment.gross for payment in await billing.payments()] == [MICROS], type(late).__name__
        await billing.sql(
            "TRUNCATE account, participation, item, balance, outbox, timer, influencer, payee, payment_run,"
            " payment, payment_line"
        )


async def test_a_run_waits_until_what_waited_for_a_campaign_is_folded(billing, states, monkeypatch):
    monkeypatch.setattr(accruals, "CHUNK", 2)
    await billing.tell(states.payee(), states.participation())
    billing.at(JUST_IN_TIME)
    await billing.tell(*(states.post(f"p{n}", views=MICROS, status="approved") for n in range(9)))

    await billing.run_payments(date(2017, 11, 5), states.campaign(), states.terms())

    assert [payment.gross for payment in await billing.payments()] == [9 * MICROS]
    await billing.check_ledger()


async def test_one_payment_per_influencer_and_currency_with_lines_that_equal_its_gross(billing, states):
    await opened(billing, states, "a", "b", "c")
    await opened(billing, states, "d", currency="JPY")
    await billing.tell(states.payee())
    for name, views in (("a", 1_003_333), ("b", 1_003_333), ("c", 1_003_333), ("d", 7 * MICROS)):
        await billing.tell(states.post(name, name=name, views=views, status="approved"))

    await billing.run_payments()

    by_currency = {payment.currency: payment for payment in await billing.payments()}
    usd = by_currency["USD"]
    assert (usd.gross, usd.carried) == (3_010_000, -1)
    assert by_currency["JPY"].gross == 7 * MICROS
    lines = await billing._rows(select(payment_line).where(payment_line.c.payment_id == usd.id))
    assert sorted(line.amount for line in lines) == [1_000_000, 1_000_000, 1_010_000]
    assert {line.owed for line in lines} == {1_003_333}
    await billing.check_ledger()


async def test_the_rest_of_a_minor_unit_is_carried_into_the_next_run(billing, states):
    await opened(billing, states)
    await billing.tell(states.payee(), states.post("a", views=1_004_000, status="approved"))
    await billing.run_payments()
    await billing.tell(states.post("b", views=1_004_000, status="approved"))

    await billing.run_payments(date(2017, 12, 5))

    first, second = await billing.payments()
    assert (first.gross, first.carried) == (1_000_000, 4_000)
    assert (second.gross, second.carried) == (1_010_000, -2_000)


async def test_a_run_done_again_or_cut_short_makes_no_second_payment(billing, states):
    await opened(billing, states)
    await billing.tell(states.payee(), states.post("a", views=1_000_000, status="approved"))
    await billing.run_payments()
    payments, balances = await billing.payments(), await billing.balances()
    await billing.sql("UPDATE payment_run SET finished_at = NULL")
    await billing.tell(states.post("late", views=500_000, status="approved", approved_at=JUST_IN_TIME))

    await billing.run_payments()

    assert await billing.payments() == payments
    assert (await billing.balances())["payout"] == balances["payout"]
    await billing.run_payments(date(2017, 12, 5))
    assert [payment.gross for payment in await billing.payments()] == [1_000_000, 500_000]


async def test_an_earlier_run_asked_for_later_pays_nothing_twice(billing, states):
    await opened(billing, states)
    billing.at(datetime(2017, 10, 1, tzinfo=UTC))
    await billing.tell(states.payee(), states.post("a", views=1_000_000, status="approved"))
    await billing.run_payments(date(2017, 11, 5))

    await billing.run_payments(date(2017, 10, 5))

    assert len(await billing.payments()) == 1


async def test_a_run_schedules_the_next(billing, states):
    await billing.run_payments(date(2017, 12, 5))

    async with billing.units.begin() as work:
        timers = await work.fetch_all(select(timer))
    assert [(row.kind, row.subject, row.due_at) for row in timers] == [
        ("payments.run", "2018-01-05", datetime(2018, 1, 5, 1, tzinfo=UTC))
    ]


async def test_below_the_minimum_all_rolls_over_and_nothing_is_lost(billing, states):
    await opened(billing, states, currency="JPY")
    await billing.tell(states.payee(country="JP"), states.post("a", views=999 * MICROS, status="approved"))
    await billing.run_payments()
    assert await billing.payments() == []

    await billing.tell(states.post("b", views=MICROS, status="approved"))
    await billing.run_payments(date(2017, 12, 5))

    [payment] = await billing.payments()
    assert (payment.gross, payment.withholding, payment.fee) == (1_000 * MICROS, 102 * MICROS, 330 * MICROS)
    assert await billing.balances() == {
        "receivable": 1_000 * MICROS,
        "withholding": -102 * MICROS,
        "fee": -330 * MICROS,
        "payout": -568 * MICROS,
    }


async def test_who_is_paid_on_request_is_paid_only_after_asking_in_time(billing, states):
    await opened(billing, states)
    await billing.tell(states.payee(payment_mode="request"), states.post(views=MICROS, status="approved"))
    await billing.run_payments(date(2017, 10, 5))
    assert await billing.payments() == []

    billing.at(CUT_OFF)
    async with billing.units.begin() as work:
        await handlers.store.request(work, (await billing.earning()).influencer_id)
    await billing.run_payments(date(2017, 11, 5))
    assert await billing.payments() == []
    await billing.run_payments(date(2017, 12, 5))

    [payment] = await billing.payments()
    assert payment.run == date(2017, 12, 5)
    await billing.tell(states.post("more", views=MICROS, status="approved"))
    await billing.run_payments(date(2018, 1, 5))
    assert len(await billing.payments()) == 1, "a request is for one run"


async def test_an_erased_payee_is_not_paid(billing, states):
    await opened(billing, states)
    await billing.tell(states.payee(), states.post(views=MICROS, status="approved"))
    await billing.tell(states.payee(erased=True))

    await billing.run_payments()

    assert await billing.payments() == []


async def test_paid_then_refunded_is_a_negative_row_taken_from_the_next_payment(billing, states):
    rates = Rates(view=1, commission=1_000)
    await opened(billing, states, rates=rates, ends_at=datetime(2017, 10, 16, tzinfo=UTC))
    order = {"net": [50 * MICROS], "ordered_at": states.now}
    await billing.tell(states.payee(), states.conversion(**order))
    billing.at(datetime(2017, 10, 16, tzinfo=UTC))
    await billing.run_timers()
    await billing.run_payments()
    payments = await billing.payments()
    assert payments[0].gross == 5 * MICROS
    await settle(billing, "paid", payments)

    await billing.tell(states.conversion(refunded=[20 * MICROS], **order))
    assert (await billing.account()).consumed == 3 * MICROS
    await billing.run_payments(date(2017, 12, 5))
    assert len(await billing.payments()) == 1, "a negative sum rolls over"
    await billing.tell(states.post(views=3 * MICROS, status="approved"))
    await billing.run_payments(date(2018, 1, 5))

    assert [payment.gross for payment in await billing.payments()] == [5 * MICROS, MICROS]
    await billing.check_ledger()


async def test_a_post_that_begins_to_count_after_the_cut_off_is_paid_by_the_next_run(billing, states):
    await opened(billing, states, rates=Rates(view=1, follower=2))
    await billing.tell(states.payee(), states.participation(followers_base=MICROS))
    await billing.tell(states.post("first", views=MICROS))
    early = states.now + timedelta(days=1)
    await billing.tell(
        states.post("second", views=3 * MICROS, status="approved", approved_at=early, counts=False)
    )
    billing.at(CUT_OFF)
    await billing.tell(
        states.post("first", views=MICROS, status="ineffective"),
        states.post("second", views=3 * MICROS, status="approved", approved_at=early, counts_since=CUT_OFF),
    )

    await billing.run_payments(date(2017, 11, 5))
    assert await billing.payments() == []
    await billing.run_payments(date(2017, 12, 5))

    [payment] = await billing.payments()
    assert payment.gross == 5 * MICROS
    assert await billing.payable_at() == [
        (CUT_OFF, 3 * MICROS),
        (CUT_OFF, 2 * MICROS),
        (datetime(2017, 12, 5, 1, tzinfo=UTC), -5 * MICROS),
    ]


async def test_a_post_approved_while_it_counts_is_paid_by_when_it_was_approved(billing, states):
    await opened(billing, states)
    await billing.tell(states.payee())
    billing.at(CUT_OFF)
    counts = {"counts_since": JUST_IN_TIME - timedelta(days=9), "approved_at": JUST_IN_TIME}
    await billing.tell(states.post(views=MICROS, status="approved", **counts))

    await billing.run_payments(date(2017, 11, 5))

    assert [payment.gross for payment in await billing.payments()] == [MICROS]


async def test_an_approved_post_that_counts_no_more_gives_its_fee_back_when_it_stops(billing, states):
    await opened(billing, states, rates=Rates(view=1, follower=2))
    await billing.tell(states.participation(followers_base=MICROS))
    start = states.now
    await billing.tell(states.post(views=MICROS, status="approved", counts_since=start))
    billing.at(CUT_OFF)

    await billing.tell(states.post(views=MICROS, status="approved", approved_at=start, counts=False))

    assert await billing.payable_at() == [
        (start, MICROS), (start, 2 * MICROS), (CUT_OFF, -MICROS), (CUT_OFF, -2 * MICROS)
    ]  # fmt: skip


@pytest.mark.parametrize(("counted_at", "run"), [(JUST_IN_TIME, 11), (CUT_OFF, 12)])
async def test_clicks_told_after_the_settlement_are_paid_by_when_they_were_counted(
    billing, states, counted_at, run
):
    await opened(billing, states, rates=Rates(click=MICROS), ends_at=datetime(2017, 11, 4, tzinfo=UTC))
    await billing.tell(states.payee(), states.link(billable=3))
    billing.at(datetime(2017, 11, 4, tzinfo=UTC))
    await billing.run_timers()
    billing.at(counted_at)
    await billing.tell(states.link(billable=5))

    await billing.run_payments(date(2017, 11, 5))
    await billing.run_payments(date(2017, 12, 5))

    paid = {payment.run.month: payment.gross for payment in await billing.payments()}
    assert paid == ({11: 5 * MICROS} if run == 11 else {11: 3 * MICROS, 12: 2 * MICROS})


async def test_failed_and_corrected_is_the_same_payment_under_review_again(billing, states):
    await opened(billing, states)
    await billing.tell(states.payee(), states.post(views=MICROS, status="approved"))
    await billing.run_payments()
    payments = await billing.payments()

    await settle(billing, "failed", payments, "account closed")
    await billing.run_payments(date(2017, 12, 5))
    await settle(billing, "corrected", payments)
    await settle(billing, "paid", payments)
    await settle(billing, "paid", payments)

    [payment] = await billing.payments()
    assert (payment.status, payment.failure, payment.version) == ("paid", None, 4)
    assert payment.paid_at == datetime(2017, 12, 5, 1, tzinfo=UTC)
    assert await billing.balances() == {"receivable": MICROS, "bank": -MICROS}
    with pytest.raises(Refused) as refused:
        await settle(billing, "failed", payments, "too late")
    assert refused.value.reason == Reason.PAYMENT_SETTLED


async def test_payment_figures_are_the_same_in_small_chunks(billing, states, monkeypatch):
    monkeypatch.setattr(handlers, "CHUNK", 2)
    await billing.tell(states.campaign(), states.terms())
    people = [f"p{n}" for n in range(5)]
    await billing.tell(*(states.participation(who) for who in people), *(states.payee(who) for who in people))
    await billing.tell(*(states.post(who, who, views=MICROS, status="approved") for who in people))

    await billing.run_payments()

    assert len(await billing.payments()) == 5
    await billing.check_ledger()
