"""Double entry: every movement is legs that sum to zero (domain.md §6, §9.1).

A debit is positive, a credit negative. Accounts, and whose they are:

    receivable      campaign        what the advertiser owes: the campaign's cost
    margin          campaign        what the platform keeps of it
    accrued         participation   earned, not approved yet
    payable         participation   approved, owed to the influencer
    payout          influencer      in a payment under review, owed to the bank
    withholding     influencer      kept back for the tax office
    consumption_tax influencer      paid on top of a registered influencer's gross
    fee             influencer      kept for the transfer
    bank            influencer      paid out
"""

from typing import Literal

LedgerAccount = Literal[
    "receivable", "margin", "accrued", "payable", "payout", "withholding", "consumption_tax", "fee", "bank"
]

RULE_VERSION = 1
"""Of this domain/: kept with every entry, so that an old amount is explained by the rules of its day."""


Leg = tuple[LedgerAccount, int]
"""An account and the amount that goes to it."""


def accrual(cost: int, earned: int, of_payable: int) -> list[Leg]:
    """`earned` of which `of_payable` belongs to approved items; all are differences."""
    return _legs(
        ("receivable", cost),
        ("margin", earned - cost),
        ("accrued", of_payable - earned),
        ("payable", -of_payable),
    )


def approval(amount: int) -> list[Leg]:
    """What was accrued is payable from now on."""
    return _legs(("accrued", amount), ("payable", -amount))


def payment(withholding: int, consumption_tax: int, fee: int, net: int) -> list[Leg]:
    """A payment's own legs; with its lines, which debit `payable`, they sum to zero."""
    return _legs(
        ("consumption_tax", consumption_tax), ("withholding", -withholding), ("fee", -fee), ("payout", -net)
    )


def payout(net: int) -> list[Leg]:
    """The bank has paid."""
    return _legs(("payout", net), ("bank", -net))


def _legs(*legs: tuple[LedgerAccount, int]) -> list[Leg]:
    return [leg for leg in legs if leg[1]]
