"""The split of worth into earned, capped and refused, and the budget that pays for it.

The whole rule of domain.md §6: growth fills the influencer's cap room first (what doesn't fit is
capped), then the budget's (what doesn't fit is refused); a fall takes from capped, then refused, then
earned. Cap room that comes free goes at once to capped parts, oldest item first.

These records are a working set in memory: a batch of facts is folded into them one by one, and only
then are they saved, so they are changed in place. Amounts are micros of the campaign's currency.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from souk.billing.domain.margin import cost_of, revenue_within
from souk.contracts.money import BasisPoints


@dataclass(slots=True)
class Purse:
    """A campaign's budget and what its ledger holds.

    consumed: cost of all that is earned, never above `budget`. peak: the highest it ever was.
    exhausted: billing has stopped. It is a state, not a comparison: falling counts leave room in the
    budget without starting it again.
    cap: maximum revenue per influencer, None for none.
    """

    budget: int
    cap: int | None
    margin: BasisPoints
    consumed: int = 0
    revenue: int = 0
    peak: int = 0
    exhausted: bool = False

    @property
    def room(self) -> int:
        return 0 if self.exhausted else self.budget - self.consumed


class Earner(Protocol):
    """A participation: cost = revenue + margin, at every instant; worth = revenue + capped + refused."""

    worth: int
    revenue: int
    capped: int
    refused: int
    cost: int


class Splittable(Protocol):
    """An item: worth = earned + capped + refused, at every instant."""

    worth: int
    earned: int
    capped: int
    refused: int


class Change(NamedTuple):
    """What one step did to an item: differences, negative when it shrank."""

    item: Splittable
    earned: int
    cost: int


def move(
    purse: Purse,
    earner: Earner,
    item: Splittable,
    worth: int,
    *,
    released: bool = False,
    older_first: Iterable[Splittable] = (),
) -> list[Change]:
    """Bring `item` to `worth` and say what that earned, here and elsewhere.

    released: staff (or the shop, by a refund) gave money back, which starts billing again; a recount
    doesn't. older_first: the participation's items, oldest first, to which a fall may leave room.
    """
    growth = worth - item.worth
    if growth >= 0:
        return _grow(purse, earner, item, growth)
    freed, changes = _fall(purse, earner, item, -growth)
    if freed and released:
        purse.exhausted = False
    return [*changes, *fill(purse, earner, freed, older_first)]


def cap_room(purse: Purse, earner: Earner) -> int | None:
    """How much more the influencer may earn; None for any amount."""
    return None if purse.cap is None else purse.cap - earner.revenue


def holds_whole(purse: Purse, earner: Earner, growth: int, leaving: Sequence[Splittable] = ()) -> bool:
    """Whether the budget holds all of `growth` that fits under the cap, once the `leaving` fell to nothing.

    Making a post effective again is refused as a whole otherwise. What the leaving earn goes to capped
    parts first, as of any fall.
    """
    freed = sum(item.earned for item in leaving)
    taken = min(freed, earner.capped - sum(item.capped for item in leaving))
    revenue = earner.revenue - freed + taken
    fits = growth if purse.cap is None else min(growth, purse.cap - revenue)
    return fits == 0 or (
        not purse.exhausted and cost_of(revenue + fits, purse.margin) - earner.cost <= purse.room
    )


def fill(purse: Purse, earner: Earner, freed: int, older_first: Iterable[Splittable]) -> list[Change]:
    """Give `freed` cap room to capped parts, oldest item first.

    What the budget doesn't hold of them is refused for good, as it would be of growth: from here on
    it is the budget, not the cap, that they fail at.
    """
    changes = []
    for item in older_first:
        if freed == 0:
            break
        taken = min(item.capped, freed)
        if taken:
            freed -= taken
            item.capped -= taken
            earner.capped -= taken
            changes.append(_earn(purse, earner, item, taken))
    return changes


def raise_budget(purse: Purse, budget: int) -> None:
    """A raise opens billing again; what was refused before stays refused."""
    purse.budget = budget
    purse.exhausted = purse.consumed >= budget


def _grow(purse: Purse, earner: Earner, item: Splittable, growth: int) -> list[Change]:
    if growth == 0:
        return []
    item.worth += growth
    earner.worth += growth
    room = cap_room(purse, earner)
    fits = growth if room is None else min(growth, room)
    item.capped += growth - fits
    earner.capped += growth - fits
    return [_earn(purse, earner, item, fits)] if fits else []


def _fall(purse: Purse, earner: Earner, item: Splittable, fall: int) -> tuple[int, list[Change]]:
    item.worth -= fall
    earner.worth -= fall
    from_capped = min(fall, item.capped)
    from_refused = min(fall - from_capped, item.refused)
    freed = fall - from_capped - from_refused
    item.capped -= from_capped
    earner.capped -= from_capped
    item.refused -= from_refused
    earner.refused -= from_refused
    if freed == 0:
        return 0, []
    item.earned -= freed
    cost = _settle(purse, earner, earner.revenue - freed, cost_of(earner.revenue - freed, purse.margin))
    return freed, [Change(item, -freed, cost)]


def _earn(purse: Purse, earner: Earner, item: Splittable, wanted: int) -> Change:
    """Earn `wanted`, or what the budget still holds of it, to the last micro."""
    if purse.exhausted:
        item.refused += wanted
        earner.refused += wanted
        return Change(item, 0, 0)
    revenue = earner.revenue + wanted
    price: int = cost_of(revenue, purse.margin)
    if price - earner.cost > purse.room:
        price = earner.cost + purse.room
        revenue = revenue_within(price, purse.margin)
    got = revenue - earner.revenue
    cost = _settle(purse, earner, revenue, price)
    item.earned += got
    item.refused += wanted - got
    earner.refused += wanted - got
    purse.exhausted = purse.consumed >= purse.budget
    return Change(item, got, cost)


def _settle(purse: Purse, earner: Earner, revenue: int, price: int) -> int:
    cost = price - earner.cost
    purse.revenue += revenue - earner.revenue
    purse.consumed += cost
    purse.peak = max(purse.peak, purse.consumed)
    earner.revenue, earner.cost = revenue, price
    return cost
