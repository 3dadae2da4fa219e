"""Margin on price: what an influencer's revenue costs the advertiser (domain.md §6)."""

from souk.contracts.money import BasisPoints, Micros

WHOLE = 10_000
"""Basis points in a whole."""


def cost_of(revenue: int, margin: BasisPoints) -> Micros:
    """The price at which `margin` of it is left after `revenue`, rounded up: 67 at 33 % costs 100.

    Of a participation's cumulative revenue; accruals post the difference, so that rounding never adds up.
    """
    return Micros(-(-revenue * WHOLE // (WHOLE - margin)))


def revenue_within(cost: int, margin: BasisPoints) -> Micros:
    """The most revenue that a price of `cost` holds, rounded down."""
    return Micros(cost * (WHOLE - margin) // WHOLE)


def agency_price(cost: int, agency_margin: BasisPoints) -> Micros:
    """What the agency charges on top of `cost`: same form; outside budget and cost."""
    return cost_of(cost, agency_margin)
