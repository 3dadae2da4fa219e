"""What an item is worth: rate × counted units, before cap and budget (domain.md §6)."""

from collections.abc import Sequence

from souk.billing.domain.books import Counted
from souk.billing.domain.margin import WHOLE
from souk.contracts.money import BasisPoints, Micros, divide_half_even
from souk.contracts.topics.campaigns import Rates
from souk.contracts.topics.conversions import OrderLine

LARGEST = 2**63 - 1
"""Micros that a column of the books holds."""
LARGEST_ORDER = 10**13
"""Micros that an order may be of, ten million units of its currency: one beyond it is a fault."""


def post(rates: Rates, counted: Counted) -> Micros:
    """A counted post: once per posting, and by its counted metrics."""
    return Micros(
        rates.posting
        + rates.view * counted.views
        + rates.like * counted.likes
        + rates.comment * counted.comments
        + rates.share * counted.shares
    )


def clicks(rates: Rates, billable: int) -> Micros:
    return Micros(rates.click * billable)


def followers(rates: Rates, base: int) -> Micros:
    """Due once per participation while it has a counted post."""
    return Micros(rates.follower * base)


def conversion(rates: Rates, commission: BasisPoints | None, lines: Sequence[OrderLine]) -> Micros:
    """A qualified order: commission of each line, half-even to a micro, and the flat rate.

    commission: the creator's own rate, None for the campaign's. An order that was refunded whole is
    worth nothing; a line never less than nothing.
    """
    rate = rates.commission if commission is None else commission
    left = [max(0, line.net - line.refunded) for line in lines]
    by_line = sum(divide_half_even(net * rate, WHOLE) for net in left)
    return Micros(by_line if _refunded_whole(lines, left) else by_line + rates.conversion)


def is_absurd(lines: Sequence[OrderLine]) -> bool:
    """Whether the order's value, or what was refunded of it, is more than any order's."""
    value, refunded = sum(abs(line.net) for line in lines), sum(abs(line.refunded) for line in lines)
    return max(value, refunded) > LARGEST_ORDER


def _refunded_whole(lines: Sequence[OrderLine], left: Sequence[int]) -> bool:
    return any(line.refunded > 0 for line in lines) and not any(left)
