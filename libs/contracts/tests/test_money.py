"""Money: exact at the edges, half-even where it is rounded (domain.md §6)."""

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.contracts.currencies import MINOR_UNITS
from souk.contracts.money import (
    MICROS,
    divide_half_even,
    format_amount,
    minor_unit,
    parse_amount,
    round_to_minor,
)

AMOUNTS = st.integers(-(10**18) + 1, 10**18 - 1)


@given(AMOUNTS)
def test_an_amount_is_the_same_after_writing_and_reading(micros):
    assert parse_amount(format_amount(micros)) == micros


@given(AMOUNTS)
def test_a_written_amount_is_a_plain_decimal_with_six_places(micros):
    text = format_amount(micros)

    assert Decimal(text) * MICROS == micros
    assert len(text.partition(".")[2]) == 6


@given(st.decimals(-999_999_999_999, 999_999_999_999, places=6))
def test_any_decimal_of_six_places_is_read_exactly(decimal):
    assert parse_amount(f"{decimal:f}") == decimal * MICROS


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".5",
        "+1",
        "1e3",
        "1,0",
        " 1",
        "1 ",
        "1.0000001",
        "1234567890123",
        "--1",
        "NaN",
        "١",
        "0x1",
        "1_0",
    ],
)
def test_what_is_no_plain_decimal_or_finer_than_a_micro_is_refused(text):
    with pytest.raises(ValueError, match="decimal string"):
        parse_amount(text)


@pytest.mark.parametrize(
    ("text", "micros"),
    [("0", 0), ("-0", 0), ("12.5", 12_500_000), ("0.000001", 1), ("-0.000001", -1), ("007", 7_000_000)],
)
def test_amounts_as_people_write_them(text, micros):
    assert parse_amount(text) == micros


@given(AMOUNTS, st.integers(1, 10**9))
def test_rounding_takes_the_nearest_and_of_two_the_even(numerator, denominator):
    quotient = divide_half_even(numerator, denominator)

    assert quotient == round(Fraction(numerator, denominator))


@given(AMOUNTS, st.sampled_from(sorted(MINOR_UNITS)))
def test_what_is_paid_is_whole_minor_units_and_half_a_unit_off_at_most(micros, currency):
    unit = minor_unit(currency)
    paid = round_to_minor(micros, currency)

    assert paid % unit == 0
    assert abs(paid - micros) * 2 <= unit
    expected = (Decimal(micros) / unit).quantize(Decimal(1), ROUND_HALF_EVEN) * unit
    assert paid == expected


@pytest.mark.parametrize(("currency", "unit"), [("USD", 10_000), ("JPY", 1_000_000), ("KWD", 1_000)])
def test_the_minor_unit_follows_iso_4217(currency, unit):
    assert minor_unit(currency) == unit


def test_a_currency_that_iso_does_not_list_is_no_currency():
    with pytest.raises(KeyError):
        minor_unit("BTC")
