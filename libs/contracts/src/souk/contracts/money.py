"""Money: integers in micros inside, decimal strings at the edges (domain.md §6)."""

import re
from typing import NewType

from souk.contracts.currencies import MINOR_UNITS

Micros = NewType("Micros", int)
"""10⁻⁶ of a currency's major unit, whatever the currency's own exponent is."""

BasisPoints = NewType("BasisPoints", int)
"""1/10 000; 3 300 is 33 %."""

MICROS = 1_000_000
_AMOUNT = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,6}))?", re.ASCII)


def parse_amount(text: str) -> Micros:
    """Read a decimal string such as `"12.5"` as micros.

    Raises ValueError when the text is no plain decimal, is finer than a micro or has more than
    twelve digits before the point.
    """
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError("an amount is a decimal string with at most 12 digits and 6 decimal places")
    sign, whole, fraction = match.groups()
    micros = int(whole) * MICROS + int((fraction or "").ljust(6, "0"))
    return Micros(-micros if sign else micros)


def format_amount(micros: int) -> str:
    """Write micros as a decimal string with six places: `12_500_000` is `"12.500000"`."""
    sign = "-" if micros < 0 else ""
    whole, fraction = divmod(abs(micros), MICROS)
    return f"{sign}{whole}.{fraction:06d}"


def minor_unit(currency: str) -> Micros:
    """Micros in the smallest unit that can be paid in `currency` (ISO 4217 exponent).

    Raises KeyError for a code that ISO 4217 does not list with an exponent of at most six.
    """
    return Micros(10 ** (6 - MINOR_UNITS[currency]))


def divide_half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` rounded half to even; the denominator is positive."""
    quotient, remainder = divmod(numerator, denominator)
    doubled = 2 * remainder
    if doubled > denominator or (doubled == denominator and quotient % 2):
        quotient += 1
    return quotient


def round_to_minor(micros: int, currency: str) -> Micros:
    """`micros` rounded half-even to what can be paid in `currency`."""
    unit = minor_unit(currency)
    return Micros(divide_half_even(micros, unit) * unit)
