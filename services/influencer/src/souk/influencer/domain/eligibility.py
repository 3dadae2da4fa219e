"""Who may take part: every filter that is set holds, bounds inclusive, a missing value fails (domain.md §3).

The same rule exists as SQL in `store/eligibility.py`, for whole lists; a test holds the two together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from souk.contracts.ids import AccountId
from souk.contracts.topics.campaigns import Audience, Connection, Gender, Platform

RULE_VERSION = 1
"""Grows when the rule below changes, so that an old decision can still be read."""

DEFAULT_CONNECTIONS: tuple[Connection, ...] = ("connected",)
"""An account matches only when it is connected, unless the audience names other states."""

Filter = Literal["closed", "region", "category", "gender", "age", "social_media", "connection", "followers"]


@dataclass(frozen=True, slots=True)
class Account:
    id: AccountId
    platform: Platform
    connection: Connection
    followers: int | None


@dataclass(frozen=True, slots=True)
class Profile:
    """What of an influencer the filters look at."""

    signed_up_at: datetime
    region: str | None
    categories: tuple[str, ...]
    gender: Gender | None
    birth_date: date | None
    accounts: tuple[Account, ...]


@dataclass(frozen=True, slots=True)
class Brief:
    """What of a campaign decides on who may see it."""

    audience: Audience
    visibility: Literal["normal", "closed"]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Judgement:
    """failed: the filters that don't hold. accounts: those that match, in a fixed order."""

    failed: tuple[Filter, ...]
    accounts: tuple[Account, ...]

    @property
    def eligible(self) -> bool:
        return not self.failed


def judge(brief: Brief, profile: Profile, day: date) -> Judgement:
    """Whether `profile` may take part in `brief`, and with which accounts.

    day: the UTC day of the decision, on which the age is taken.
    """
    audience = brief.audience
    failed: list[Filter] = []
    if brief.visibility == "closed" and profile.signed_up_at > brief.created_at:
        failed.append("closed")
    if audience.regions and profile.region not in audience.regions:
        failed.append("region")
    if audience.categories and not set(audience.categories) & set(profile.categories):
        failed.append("category")
    if audience.genders and profile.gender not in audience.genders:
        failed.append("gender")
    if not _within(_age(profile.birth_date, day), audience.age_min, audience.age_max):
        failed.append("age")
    matching, account_filter = _accounts(audience, profile.accounts)
    if asks_for_account(audience) and account_filter is not None:
        failed.append(account_filter)
    return Judgement(tuple(failed), matching)


def asks_for_account(audience: Audience) -> bool:
    """Whether a filter is set that only an account can hold."""
    return bool(
        audience.platforms
        or audience.connections
        or audience.followers_min is not None
        or audience.followers_max is not None
    )


def age_on(birth_date: date, day: date) -> int:
    """Full years; who is born on 29 February is a year older on 1 March of a common year."""
    return day.year - birth_date.year - ((day.month, day.day) < (birth_date.month, birth_date.day))


def _age(birth_date: date | None, day: date) -> int | None:
    return None if birth_date is None else age_on(birth_date, day)


def _within(value: int | None, least: int | None, most: int | None) -> bool:
    if least is None and most is None:
        return True
    return value is not None and (least is None or value >= least) and (most is None or value <= most)


def _accounts(audience: Audience, accounts: Sequence[Account]) -> tuple[tuple[Account, ...], Filter | None]:
    """The accounts that match, and the first filter that none of them passes.

    One account has to pass all three: followers on one platform don't open another.
    """
    left = sorted(accounts, key=lambda account: (account.platform, account.id))
    left = [account for account in left if not audience.platforms or account.platform in audience.platforms]
    if not left:
        return (), "social_media"
    connections = audience.connections or DEFAULT_CONNECTIONS
    left = [account for account in left if account.connection in connections]
    if not left:
        return (), "connection"
    left = [a for a in left if _within(a.followers, audience.followers_min, audience.followers_max)]
    return tuple(left), None if left else "followers"
