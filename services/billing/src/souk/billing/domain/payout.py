"""What a payment run pays, to whom, and what is kept back (domain.md §6).

Amounts are micros; what is paid is whole minor units of the currency.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType

from souk.billing.domain.margin import WHOLE
from souk.contracts.money import MICROS, BasisPoints, Micros, minor_unit, round_to_minor

_NONE = BasisPoints(0)
RUN_DAY = 5
_STARTS = timedelta(hours=1)
_CUT_OFF_BEFORE = timedelta(hours=8)
"""Before the run's date 00:00 UTC: 16:00 UTC on the 4th is 00:00 in Singapore on the 5th."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """`rate` of the part of a gross up to `up_to` major units of the country's currency; None: no end."""

    up_to: int | None
    rate: BasisPoints


@dataclass(frozen=True, slots=True)
class CountryRules:
    """How payees of a country are paid.

    Brackets, fee and minimum are in the country's own currency. In another one, whose worth isn't
    known here, the first bracket's rate is taken of all, and there is neither fee nor minimum.
    consumption_tax: on top of the gross of those registered for it. fee, minimum: major units; below the
    minimum everything rolls over to the next run.
    """

    currency: str | None = None
    brackets: tuple[Bracket, ...] = ()
    consumption_tax: BasisPoints = _NONE
    fee: int = 0
    minimum: int = 0


NO_RULES = CountryRules()
RULES: Mapping[str, CountryRules] = MappingProxyType(
    {
        "JP": CountryRules(
            currency="JPY",
            brackets=(Bracket(1_000_000, BasisPoints(1_021)), Bracket(None, BasisPoints(2_042))),
            consumption_tax=BasisPoints(1_000),
            fee=330,
            minimum=1_000,
        ),
        "US": CountryRules(currency="USD"),
    }
)
"""One table for all countries; one that isn't in it has no rules."""


@dataclass(frozen=True, slots=True)
class Payout:
    """net = gross - withholding + consumption_tax - fee."""

    gross: Micros
    withholding: Micros
    consumption_tax: Micros
    fee: Micros

    @property
    def net(self) -> Micros:
        return Micros(self.gross - self.withholding + self.consumption_tax - self.fee)


@dataclass(frozen=True, slots=True)
class Run:
    """A monthly payment run, named by its date: the 5th."""

    date: date

    @property
    def starts_at(self) -> datetime:
        return _midnight(self.date) + _STARTS

    @property
    def cut_off(self) -> datetime:
        """Exclusive: what is payable before it is in the run."""
        return _midnight(self.date) - _CUT_OFF_BEFORE

    def next(self) -> "Run":
        return Run((self.date.replace(day=1) + timedelta(days=32)).replace(day=RUN_DAY))


def run_on(day: date) -> Run:
    """Raises ValueError for a day that is no 5th: there are no other runs."""
    if day.day != RUN_DAY:
        raise ValueError("payment runs are on the 5th of a month")
    return Run(day)


def next_run(now: datetime) -> Run:
    """The first run that has not started before `now`."""
    run = Run(now.astimezone(UTC).date().replace(day=RUN_DAY))
    return run if run.starts_at >= now else run.next()


def payout(owed: int, currency: str, country: str | None, *, registered: bool) -> Payout | None:
    """What is paid of `owed`, None when nothing is: it rolls over, and so does the rest of a minor unit.

    registered: for consumption tax.
    """
    rules = RULES.get(country or "", NO_RULES)
    at_home = rules.currency == currency
    gross = round_to_minor(owed, currency)
    if gross <= 0 or (at_home and gross < rules.minimum * MICROS):
        return None
    tax = rules.consumption_tax if registered else 0
    paid = Payout(
        gross=gross,
        withholding=_withheld(gross, currency, rules, at_home=at_home),
        consumption_tax=_down(gross * tax, currency),
        fee=Micros(rules.fee * MICROS if at_home else 0),
    )
    return paid if paid.net > 0 else None


def shares(owed: Sequence[int], gross: int, currency: str) -> list[Micros]:
    """`gross` split into whole minor units over what is owed, by largest remainder: parts equal the total.

    Of equal remainders the earlier counts as the larger. gross: the sum of `owed` rounded half-even.
    """
    unit = minor_unit(currency)
    parts = [amount // unit for amount in owed]
    left = gross // unit - sum(parts)
    by_remainder = sorted(range(len(owed)), key=lambda i: (-(owed[i] % unit), i))
    for index in by_remainder[:left]:
        parts[index] += 1
    return [Micros(part * unit) for part in parts]


def _withheld(gross: int, currency: str, rules: CountryRules, *, at_home: bool) -> Micros:
    if not at_home:
        return _down(gross * rules.brackets[0].rate, currency) if rules.brackets else Micros(0)
    total, below = 0, 0
    for bracket in rules.brackets:
        top = gross if bracket.up_to is None else min(gross, bracket.up_to * MICROS)
        total += max(0, top - below) * bracket.rate
        below = max(below, top)
    return _down(total, currency)


def _down(scaled: int, currency: str) -> Micros:
    """Ten-thousandths of a micro, rounded down to the minor unit."""
    unit = minor_unit(currency)
    return Micros(scaled // (WHOLE * unit) * unit)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
