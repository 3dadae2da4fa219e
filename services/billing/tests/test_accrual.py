"""The split of worth, the cap, the budget and the margin (domain.md §6), against a slow reference."""

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor

from hypothesis import given, settings
from hypothesis import strategies as st

from souk.billing.domain.accrual import Purse, fill, holds_whole, move, raise_budget
from souk.billing.domain.margin import cost_of, revenue_within
from souk.contracts.money import BasisPoints


@dataclass(slots=True, eq=False)
class Earner:
    worth: int = 0
    revenue: int = 0
    capped: int = 0
    refused: int = 0
    cost: int = 0


@dataclass(slots=True, eq=False)
class Item:
    worth: int = 0
    earned: int = 0
    capped: int = 0
    refused: int = 0

    @property
    def split(self) -> tuple[int, int, int]:
        return self.earned, self.capped, self.refused


def purse(budget: int = 1_000_000, cap: int | None = None, margin: int = 0) -> Purse:
    return Purse(budget=budget, cap=cap, margin=BasisPoints(margin))


def test_revenue_67_at_33_percent_costs_100() -> None:
    assert cost_of(67, BasisPoints(3_300)) == 100
    assert revenue_within(100, BasisPoints(3_300)) == 67


def test_an_explicit_margin_of_zero_stays_zero() -> None:
    assert cost_of(67, BasisPoints(0)) == 67


@given(st.integers(0, 10**15), st.integers(0, 9_999))
def test_cost_is_the_least_price_that_leaves_the_margin(revenue: int, margin: int) -> None:
    share = Fraction(10_000 - margin, 10_000)

    cost = cost_of(revenue, BasisPoints(margin))

    assert cost * share >= revenue > (cost - 1) * share or revenue == cost == 0
    assert cost == ceil(revenue / share)
    assert revenue_within(cost, BasisPoints(margin)) == floor(cost * share)


def test_accruals_post_the_difference_so_that_rounding_never_adds_up() -> None:
    account, earner, item = purse(margin=3_300), Earner(), Item()

    costs = [move(account, earner, item, worth)[0].cost for worth in range(1, 68)]

    assert sum(costs) == earner.cost == 100


def test_growth_fills_the_cap_first_and_then_the_budget() -> None:
    account, earner, item = purse(budget=60, cap=80), Earner(), Item()

    move(account, earner, item, 100)

    assert item.split == (60, 20, 20)
    assert account.exhausted


def test_a_fall_takes_from_capped_then_refused_then_earned() -> None:
    account, earner, item = purse(budget=60, cap=80), Earner(), Item()
    move(account, earner, item, 100)

    splits = []
    for worth in (85, 70, 50):
        move(account, earner, item, worth)
        splits.append(item.split)

    assert splits == [(60, 5, 20), (60, 0, 10), (50, 0, 0)]


def test_cap_room_that_comes_free_goes_to_capped_parts_oldest_first() -> None:
    account, earner, items = purse(cap=100), Earner(), [Item(), Item(), Item()]
    for item in items:
        move(account, earner, item, 90)
    assert [item.split for item in items] == [(90, 0, 0), (10, 80, 0), (0, 90, 0)]

    move(account, earner, items[0], 0, released=True, older_first=items)

    assert [item.split for item in items] == [(0, 0, 0), (90, 0, 0), (10, 80, 0)]
    assert earner.revenue == 100


def test_the_budget_is_used_to_the_last_micro_where_revenue_is_rounded_down() -> None:
    account, earner, item = purse(budget=101, margin=3_300), Earner(), Item()

    move(account, earner, item, 1_000)

    assert (account.consumed, earner.revenue, earner.cost) == (101, 67, 101)
    assert account.exhausted


def test_using_exactly_the_last_micro_is_over_budget_though_nothing_was_refused() -> None:
    account, earner, item = purse(budget=100, margin=3_300), Earner(), Item()

    move(account, earner, item, 67)

    assert account.exhausted
    assert item.split == (67, 0, 0)


def test_while_over_budget_nothing_is_earned_though_falling_counts_left_room() -> None:
    account, earner, one, other = purse(budget=100), Earner(), Item(), Item()
    move(account, earner, one, 100)

    move(account, earner, one, 40)
    move(account, earner, other, 30)

    assert account.consumed == 40
    assert account.exhausted
    assert other.split == (0, 0, 30)


def test_money_that_staff_release_starts_billing_again_but_pays_nothing_refused() -> None:
    account, earner, one, other = purse(budget=100), Earner(), Item(), Item()
    move(account, earner, one, 100)
    move(account, earner, other, 30)

    move(account, earner, one, 0, released=True)
    move(account, earner, other, 35)

    assert not account.exhausted
    assert other.split == (5, 0, 30)


def test_a_raise_starts_billing_again_but_pays_nothing_refused() -> None:
    account, earner, item = purse(budget=100), Earner(), Item()
    move(account, earner, item, 130)

    raise_budget(account, 200)
    move(account, earner, item, 140)

    assert item.split == (110, 0, 30)
    assert not account.exhausted


def test_an_ineffective_item_that_earned_nothing_releases_nothing() -> None:
    account, earner, one, other = purse(budget=100), Earner(), Item(), Item()
    move(account, earner, one, 100)
    move(account, earner, other, 30)

    move(account, earner, other, 0, released=True)

    assert account.exhausted


def test_capped_parts_that_the_stopped_budget_does_not_take_are_refused_for_good() -> None:
    account, earner, one, other = purse(budget=100, cap=100), Earner(), Item(), Item()
    move(account, earner, one, 100)
    move(account, earner, other, 30)
    assert other.split == (0, 30, 0)

    move(account, earner, one, 80, older_first=[one, other])

    assert other.split == (0, 10, 20)
    assert account.consumed == 80


def test_a_post_made_effective_again_is_held_whole_or_not_at_all() -> None:
    account, earner, item = purse(budget=100, cap=60), Earner(), Item()
    move(account, earner, item, 50)

    assert holds_whole(account, earner, 10)
    assert holds_whole(account, earner, 1_000), "what the cap leaves of it fits"
    assert not holds_whole(purse(budget=9), Earner(), 10)
    assert holds_whole(purse(budget=10), Earner(), 10)
    account.exhausted = True
    assert not holds_whole(account, earner, 1)


@dataclass(slots=True)
class Reference:
    """The same rules, one micro at a time, in the words of the domain and with fractions."""

    budget: int
    cap: int | None
    share: Fraction
    worths: list[list[int]]
    open: bool = True
    costs: list[int] = field(default_factory=lambda: [0, 0])
    earned: list[list[int]] = field(default_factory=lambda: [[0, 0, 0], [0, 0, 0]])
    capped: list[list[int]] = field(default_factory=lambda: [[0, 0, 0], [0, 0, 0]])
    refused: list[list[int]] = field(default_factory=lambda: [[0, 0, 0], [0, 0, 0]])

    def bring(self, who: int, what: int, worth: int, *, released: bool) -> None:
        room = None if self.cap is None else self.cap - sum(self.earned[who])
        while self.worths[who][what] < worth:
            self.worths[who][what] += 1
            if room == 0:
                self.capped[who][what] += 1
            else:
                room = None if room is None else room - 1
                self._earn(who, what)
        while self.worths[who][what] > worth:
            self.worths[who][what] -= 1
            for place in (self.capped, self.refused):
                if place[who][what]:
                    place[who][what] -= 1
                    break
            else:
                self._lose(who, what, released=released)

    def raise_budget(self, budget: int) -> None:
        self.budget = budget
        self.open = sum(self.costs) < budget

    def raise_cap(self, cap: int) -> None:
        for who in (0, 1):
            for _ in range(cap - (self.cap or 0)):
                self._offer(who)
        self.cap = cap

    def _earn(self, who: int, what: int) -> None:
        price = ceil((sum(self.earned[who]) + 1) / self.share)
        others = sum(self.costs) - self.costs[who]
        if self.open and others + price <= self.budget:
            self.earned[who][what] += 1
            self.costs[who] = price
        else:
            self.refused[who][what] += 1
            if self.open:
                self.costs[who] = self.budget - others
        if sum(self.costs) == self.budget:
            self.open = False

    def _lose(self, who: int, what: int, *, released: bool) -> None:
        self.earned[who][what] -= 1
        self.costs[who] = ceil(sum(self.earned[who]) / self.share)
        self.open = self.open or released
        self._offer(who)

    def _offer(self, who: int) -> None:
        for what in range(3):
            if self.capped[who][what]:
                self.capped[who][what] -= 1
                self._earn(who, what)
                return


_moves = st.tuples(st.just("move"), st.integers(0, 1), st.integers(0, 2), st.integers(0, 60), st.booleans())
_raises = st.tuples(
    st.sampled_from(["budget", "cap"]), st.just(0), st.just(0), st.integers(1, 40), st.just(False)
)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 150),
    st.none() | st.integers(0, 60),
    st.sampled_from([0, 1, 1_000, 3_300, 5_000, 9_999]),
    st.lists(_moves | _raises, max_size=25),
)
def test_every_step_keeps_the_books_and_equals_the_slow_reference(
    budget: int, cap: int | None, margin: int, steps: list[tuple[str, int, int, int, bool]]
) -> None:
    account = purse(budget, cap, margin)
    earners, items = [Earner(), Earner()], [[Item() for _ in range(3)] for _ in range(2)]
    reference = Reference(budget, cap, Fraction(10_000 - margin, 10_000), [[0] * 3, [0] * 3])
    peak = 0

    for kind, who, what, amount, released in steps:
        if kind == "budget":
            raise_budget(account, account.budget + amount)
            reference.raise_budget(account.budget)
        elif kind == "cap" and account.cap is not None:
            account.cap += amount
            for earner, mine in zip(earners, items, strict=True):
                fill(account, earner, amount, mine)
            reference.raise_cap(account.cap)
        elif kind == "move":
            before = (earners[who].revenue, account.consumed)
            item = items[who][what]
            changes = move(account, earners[who], item, amount, released=released, older_first=items[who])
            reference.bring(who, what, amount, released=released)
            after = (earners[who].revenue, account.consumed)
            assert (sum(c.earned for c in changes), sum(c.cost for c in changes)) == (
                after[0] - before[0],
                after[1] - before[1],
            )
        peak = max(peak, account.consumed)

        for earner, mine in zip(earners, items, strict=True):
            assert all(i.worth == i.earned + i.capped + i.refused and min(i.split) >= 0 for i in mine)
            assert earner.worth == earner.revenue + earner.capped + earner.refused
            assert earner.revenue == sum(i.earned for i in mine)
            assert account.cap is None or earner.revenue <= account.cap
            assert earner.cost >= cost_of(earner.revenue, account.margin)
        assert account.consumed == sum(e.cost for e in earners) <= account.budget
        assert account.revenue == sum(e.revenue for e in earners) <= account.consumed
        assert account.peak == peak
        assert account.exhausted or account.consumed < account.budget or account.consumed == 0
        places = (reference.earned, reference.capped, reference.refused)
        for who_ in (0, 1):
            splits = list(zip(*(place[who_] for place in places), strict=True))
            assert [i.split for i in items[who_]] == splits
        assert [e.cost for e in earners] == reference.costs
        assert account.exhausted != reference.open


@given(
    st.integers(0, 100),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 100), st.booleans()), max_size=20),
    st.randoms(use_true_random=False),
)
def test_revenue_is_the_smaller_of_cap_and_worth_in_any_order_while_the_budget_does_not_bind(
    cap: int, moves: list[tuple[int, int, bool]], random: object
) -> None:
    last = {what: worth for what, worth, _ in moves}
    account, earner, items = purse(cap=cap, margin=3_300), Earner(), [Item(), Item(), Item()]

    for what, worth, released in moves:
        move(account, earner, items[what], worth, released=released, older_first=items)

        assert earner.revenue == min(cap, sum(item.worth for item in items))
    shuffled = list(last.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    other, others = Earner(), [Item(), Item(), Item()]
    for what, worth in shuffled:
        move(purse(cap=cap, margin=3_300), other, others[what], worth, older_first=others)
    assert (other.revenue, other.cost) == (earner.revenue, earner.cost)
