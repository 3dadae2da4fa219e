"""Who takes part in the month, on which terms, and when: all of it follows from the file and the seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from souk.local.errors import StackError
from souk.local.standins.catalogue import Catalogue

NAMESPACE = UUID("5a2f4f8e-6a2c-5f57-9b1e-7c1d2e3f4a5b")
CURRENCY = "USD"
START, END = "2017-09-20", "2017-10-15"

OPENING = datetime(2017, 9, 13, 6, tzinfo=UTC)
APPROVED = datetime(2017, 9, 14, 9, tzinfo=UTC)
JOINED = datetime(2017, 9, 18, 12, tzinfo=UTC)
POSTS_APPROVED = datetime(2017, 10, 20, 12, 30, tzinfo=UTC)
PAYMENT_RUN = "2017-11-05"
PAID = datetime(2017, 11, 10, 9, tzinfo=UTC)
LATE_REFUND = datetime(2017, 11, 12, 10, tzinfo=UTC)
CLOSING = datetime(2017, 11, 13, tzinfo=UTC)

B_HASHTAGS = ("comedy", "funny", "sketch")
LINK_HOLDERS, CODES, APPLICANTS, CREATORS = 12, 8, 11, 6


def influencer_id(channel: str) -> UUID:
    return uuid5(NAMESPACE, f"influencer:{channel}")


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign of the month: how it is briefed and who joins, in the order in which they ask."""

    name: str
    brief: dict[str, Any]
    channels: Sequence[str]


@dataclass(frozen=True, slots=True)
class Plan:
    channels: Sequence[str]
    campaigns: Sequence[Campaign]
    codes: Sequence[str]
    """Referral codes of D: fewer than its applicants."""
    creator_codes: Sequence[str]
    """Codes of E, one per creator."""
    commissions: Sequence[str]
    """Percent per creator of E, in the order of its channels."""


def make(catalogue: Catalogue, hashtags: Sequence[str], seed: int) -> Plan:
    """The month's campaigns for this file; the same file, hashtags and seed give the same plan.

    Raises StackError when no video carries any of the hashtags.
    """
    carrying = _carrying(catalogue, hashtags)
    if not carrying:
        raise StackError(f"No video of the file carries any of {', '.join(hashtags)}: give other --hashtags.")
    regulars = sorted(
        set(catalogue.channels), key=lambda channel: uuid5(NAMESPACE, f"{seed}:{channel}").bytes
    )
    social = {
        "approval_mode": "auto",
        "multi_posting": True,
        "rates": {"posting": "50", "view": "0.0005", "like": "0.01", "comment": "0.02"},
        "cap": "2500",
    }
    return Plan(
        channels=catalogue.channels,
        campaigns=(
            _campaign("A", "social", carrying, {**social, "hashtags": list(hashtags), "budget": "1000000"}),
            _campaign(
                "B",
                "social",
                _carrying(catalogue, B_HASHTAGS),
                {**social, "hashtags": list(B_HASHTAGS), "budget": "12000", "approval_mode": "manual"},
            ),
            _campaign(
                "C",
                "url",
                regulars[:LINK_HOLDERS],
                {
                    "approval_mode": "auto",
                    "rates": {"click": "0.05", "conversion": "1.5"},
                    "landing_url": "https://shop.example/autumn?from=souk",
                    "cap": "40",
                    "budget": "1000",
                },
            ),
            _campaign(
                "D",
                "referral",
                regulars[LINK_HOLDERS : LINK_HOLDERS + APPLICANTS],
                {"approval_mode": "auto", "rates": {"conversion": "3.25"}, "cap": "500", "budget": "5000"},
            ),
            _campaign(
                "E",
                "ecommerce",
                regulars[LINK_HOLDERS + APPLICANTS : LINK_HOLDERS + APPLICANTS + CREATORS],
                {"approval_mode": "auto", "rates": {"commission": "8"}, "cap": "500", "budget": "5000"},
            ),
        ),
        codes=[f"AUTUMN{number}" for number in range(1, CODES + 1)],
        creator_codes=[f"MAKER{number}" for number in range(1, CREATORS + 1)],
        commissions=["5", "7.5", "8", "10", "12.5", "15"],
    )


def _carrying(catalogue: Catalogue, hashtags: Sequence[str]) -> list[str]:
    """Channels with a video that carries any of the hashtags, in the order of the file."""
    wanted = set(hashtags)
    found = {video.channel for video in catalogue.videos if wanted & video.hashtags}
    return [channel for channel in catalogue.channels if channel in found]


def _campaign(name: str, kind: str, channels: Sequence[str], terms: dict[str, Any]) -> Campaign:
    brief = {
        "type": kind,
        "title": f"Campaign {name}",
        "country": "US",
        "time_zone": "America/New_York",
        "start_date": START,
        "end_date": END,
        "currency": CURRENCY,
        "category": "entertainment",
        "audience": {"platforms": ["youtube"]},
        "product_information": "An autumn collection",
        "product_url": "https://shop.example/autumn",
        "hold_days": 0,
        **terms,
    }
    return Campaign(name=name, brief=brief, channels=channels)
