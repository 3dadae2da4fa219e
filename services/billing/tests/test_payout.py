"""What a run pays, keeps back and carries (domain.md §6)."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.billing.domain.payout import next_run, payout, run_on, shares
from souk.contracts.money import MICROS, round_to_minor


def yen(amount):
    return amount * MICROS


def test_a_run_is_on_the_5th_at_one_and_cuts_off_at_midnight_in_singapore():
    run = run_on(date(2017, 11, 5))

    assert run.cut_off == datetime(2017, 11, 4, 16, tzinfo=UTC)
    assert run.starts_at == datetime(2017, 11, 5, 1, tzinfo=UTC)
    assert run.next().date == date(2017, 12, 5)
    assert run.next().next().date == date(2018, 1, 5)
    with pytest.raises(ValueError, match="5th"):
        run_on(date(2017, 11, 4))


def test_the_next_run_is_this_month_until_it_starts():
    start = datetime(2017, 11, 5, 1, tzinfo=UTC)

    assert next_run(start).date == date(2017, 11, 5)
    assert next_run(start.replace(microsecond=1)).date == date(2017, 12, 5)


@pytest.mark.parametrize(
    ("gross", "withholding"),
    [
        (10_000, 1_021),
        (9_999, 1_020),
        (1_000_000, 102_100),
        (1_000_001, 102_100),
        (1_000_005, 102_101),
        (3_000_000, 102_100 + 408_400),
    ],
)
def test_japan_withholds_by_marginal_brackets_and_rounds_down_to_the_yen(gross, withholding):
    paid = payout(yen(gross), "JPY", "JP", registered=False)

    assert paid is not None
    assert paid.withholding == yen(withholding)


def test_consumption_tax_is_on_top_for_the_registered_and_the_fee_is_taken():
    paid = payout(yen(12_345), "JPY", "JP", registered=True)

    assert paid is not None
    assert (paid.consumption_tax, paid.fee) == (yen(1_234), yen(330))
    assert paid.net == paid.gross - paid.withholding + paid.consumption_tax - paid.fee


def test_the_united_states_withhold_nothing_and_have_no_minimum():
    paid = payout(10_000, "USD", "US", registered=True)

    assert paid is not None
    assert (paid.gross, paid.withholding, paid.consumption_tax, paid.fee, paid.net) == (
        10_000,
        0,
        0,
        0,
        10_000,
    )


def test_another_currency_than_the_countrys_takes_the_first_bracket_of_all():
    paid = payout(20_000 * MICROS, "USD", "JP", registered=False)

    assert paid is not None
    assert (paid.withholding, paid.fee) == (2_042 * MICROS, 0)


@pytest.mark.parametrize(
    ("owed", "currency", "country"),
    [
        (yen(999), "JPY", "JP"),
        (0, "USD", "US"),
        (-5_000_000, "USD", "US"),
        (4_999, "USD", "US"),
        (5_000, "USD", "US"),
    ],
)
def test_below_the_minimum_or_the_minor_unit_everything_rolls_over(owed, currency, country):
    assert payout(owed, currency, country, registered=False) is None


@pytest.mark.parametrize(("owed", "gross"), [(15_000, 20_000), (25_000, 20_000), (5_001, 10_000)])
def test_the_sum_is_rounded_half_even_to_the_minor_unit(owed, gross):
    paid = payout(owed, "USD", "US", registered=False)

    assert paid is not None
    assert paid.gross == gross


@given(
    st.lists(st.integers(-(10**9), 10**10), min_size=1, max_size=20), st.sampled_from(["USD", "JPY", "BHD"])
)
def test_parts_equal_the_total_and_are_within_a_minor_unit_of_what_is_owed(owed, currency):
    gross = round_to_minor(sum(owed), currency)
    unit = {"USD": 10_000, "JPY": MICROS, "BHD": 1_000}[currency]

    parts = shares(owed, gross, currency)

    assert sum(parts) == gross
    assert all(
        part % unit == 0 and abs(part - amount) <= unit for part, amount in zip(parts, owed, strict=True)
    )


@given(st.integers(1, 10**13), st.booleans())
def test_net_follows_from_its_parts_and_withholding_grows_with_the_gross(gross, registered):
    paid, more = (payout(amount, "JPY", "JP", registered=registered) for amount in (gross, gross + MICROS))

    if paid is not None:
        assert more is not None
        assert paid.withholding <= more.withholding
        assert paid.net > 0
        assert paid.withholding % MICROS == paid.consumption_tax % MICROS == 0
