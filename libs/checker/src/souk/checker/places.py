"""Where the services keep what is on topics: the owner's table of each, and every reader's copy.

Read off the services' `store/tables.py` and `subscriptions.py`, and said again here on purpose. A column is
compared with the field of its name; `tests/test_compared.py` says which are, so that one that is renamed
leaves the comparison by somebody who looks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from souk.contracts.state import State
from souk.contracts.topic import Service
from souk.contracts.topics.accounts import Account
from souk.contracts.topics.announcements import Announcement
from souk.contracts.topics.budgets import Budget
from souk.contracts.topics.campaigns import Campaign
from souk.contracts.topics.clicks import Click
from souk.contracts.topics.contacts import Contact
from souk.contracts.topics.conversions import Conversion
from souk.contracts.topics.deliveries import Delivery
from souk.contracts.topics.earnings import Earning
from souk.contracts.topics.influencers import Influencer
from souk.contracts.topics.links import Link
from souk.contracts.topics.organisations import Organisation
from souk.contracts.topics.participations import Participation
from souk.contracts.topics.payees import Payee
from souk.contracts.topics.payments import Payment
from souk.contracts.topics.posts import Post
from souk.contracts.topics.terms import Terms
from souk.contracts.topics.users import User

EXPIRES = timedelta(days=29)
"""A day less than topics that don't keep everything keep their records."""


@dataclass(frozen=True, slots=True)
class Place:
    """A table with one row for each state, by `id`. SQL where it says so.

    version: SQL; a row at 0 is a placeholder and counts as none. where: SQL; which rows are this topic's.
    but, only: of the columns that are named like a field, those that say something else, or those that say
    the same; without either all are compared. reads: SQL of a column that says the same in another way.
    needs: the field without which nobody keeps a copy.
    at: the instant's column where either side forgets what is older than `EXPIRES`.
    """

    service: Service
    table: str
    version: str = "version"
    where: str = "true"
    but: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    reads: Mapping[str, str] = field(default_factory=dict)
    needs: str | None = None
    at: str | None = None


def _names(*names: str) -> frozenset[str]:
    return frozenset(names)


OWNERS: Mapping[type[State], Place] = {
    Organisation: Place("campaign", "organisation"),
    # The state is active while user and organisation are.
    User: Place("campaign", "user", but=_names("active")),
    # The state has what follows from type and country where the brief leaves them unset.
    Campaign: Place("campaign", "campaign", but=_names("track_posts", "time_zone")),
    Terms: Place(
        "campaign", "campaign", version="terms_version", only=_names("agency_id", "margin", "agency_margin")
    ),
    Influencer: Place("influencer", "influencer"),
    Contact: Place("influencer", "contact"),
    Payee: Place("influencer", "payee"),
    Participation: Place("influencer", "participation"),
    Announcement: Place("influencer", "announcement", version="1", at="changed_at"),
    Account: Place("tracking", "account"),
    Post: Place("tracking", "post"),
    Link: Place("tracking", "link"),
    # The rows' lines have quantities, which the state leaves out.
    Conversion: Place("tracking", "conversion", but=_names("lines")),
    Budget: Place("billing", "account"),
    Earning: Place("billing", "participation", but=_names("reinstated")),
    Payment: Place("billing", "payment"),
    Delivery: Place(
        "notify",
        "delivery",
        where="status IN ('sent', 'failed', 'suppressed', 'unknown')",
        at="changed_at",
    ),
}
"""Clicks have none: the redirect keeps them in files until tracking's database has them."""

_FACT = _names("campaign_id", "changed_at")

COPIES: Mapping[type[State], tuple[Place, ...]] = {
    Organisation: (Place("influencer", "organisation"),),
    User: (
        Place("influencer", "user_levels"),
        # Tracking and notify keep no levels of those who are inactive.
        Place("tracking", "member", but=_names("levels")),
        Place("billing", "member"),
        Place("notify", "user_level", but=_names("levels")),
    ),
    Campaign: (
        Place("influencer", "campaign"),
        Place("tracking", "campaign", but=_names("landing_url")),
        Place(
            "billing",
            "account",
            version="campaign_version",
            only=_names(
                "advertiser_id",
                "agency_id",
                "ends_at",
                "hold_days",
                "currency",
                "rates",
                "cap",
                "budget_version",
            ),
        ),
        Place("notify", "campaign"),
    ),
    # Our margin is fixed once the campaign is approved.
    Terms: (Place("billing", "account", version="terms_version", only=_names("agency_margin")),),
    Influencer: (
        Place("tracking", "influencer"),
        Place("billing", "influencer"),
        Place("notify", "influencer"),
    ),
    Contact: (Place("notify", "contact"),),
    Payee: (Place("billing", "payee"),),
    Participation: (
        Place("tracking", "participation"),
        Place(
            "billing",
            "participation",
            version="source_version",
            only=_names("campaign_id", "influencer_id", "commission", "followers_base"),
            needs="joined_at",
        ),
        Place("notify", "participation"),
    ),
    Announcement: (Place("notify", "announcement", version="1", at="made_at"),),
    # Handles of the erased are gone before tracking says so.
    Account: (Place("influencer", "account", but=_names("handle")),),
    Post: (
        Place("billing", "item", where="kind = 1", only=_FACT | {"participation_id"}),
        Place("notify", "post"),
    ),
    Link: (Place("billing", "item", where="kind = 2", only=_FACT | {"participation_id", "reversed"}),),
    Conversion: (
        Place(
            "billing",
            "item",
            where="kind = 3",
            only=_FACT | {"currency", "disputed", "lines"},
            # An order without lines has none there.
            reads={"lines": "coalesce(lines, '[]')"},
            needs="participation_id",
        ),
    ),
    Click: (Place("tracking", "click", version="1", at="clicked_at"),),
    Budget: (Place("campaign", "budget"), Place("influencer", "budget")),
    Payment: (Place("notify", "payment"),),
}
"""Whoever reads a topic and isn't here keeps no copy of it."""
