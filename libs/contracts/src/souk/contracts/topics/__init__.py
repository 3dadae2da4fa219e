"""Every public topic. One module per topic is the source of everything about it."""

from typing import Any

from souk.contracts.state import State
from souk.contracts.topic import Topic
from souk.contracts.topics.accounts import ACCOUNTS
from souk.contracts.topics.announcements import ANNOUNCEMENTS
from souk.contracts.topics.budgets import BUDGETS
from souk.contracts.topics.campaigns import CAMPAIGNS
from souk.contracts.topics.clicks import CLICKS
from souk.contracts.topics.contacts import CONTACTS
from souk.contracts.topics.conversions import CONVERSIONS
from souk.contracts.topics.deliveries import DELIVERIES
from souk.contracts.topics.earnings import EARNINGS
from souk.contracts.topics.influencers import INFLUENCERS
from souk.contracts.topics.links import LINKS
from souk.contracts.topics.organisations import ORGANISATIONS
from souk.contracts.topics.participations import PARTICIPATIONS
from souk.contracts.topics.payees import PAYEES
from souk.contracts.topics.payments import PAYMENTS
from souk.contracts.topics.posts import POSTS
from souk.contracts.topics.terms import TERMS
from souk.contracts.topics.users import USERS

TOPICS: tuple[Topic[Any], ...] = (
    ORGANISATIONS,
    USERS,
    CAMPAIGNS,
    TERMS,
    INFLUENCERS,
    CONTACTS,
    PAYEES,
    PARTICIPATIONS,
    ANNOUNCEMENTS,
    ACCOUNTS,
    POSTS,
    LINKS,
    CONVERSIONS,
    CLICKS,
    BUDGETS,
    EARNINGS,
    PAYMENTS,
    DELIVERIES,
)

_BY_STATE = {topic.state: topic for topic in TOPICS}
_BY_NAME = {topic.name: topic for topic in TOPICS}


def topic_of(state: type[State]) -> Topic[Any]:
    """The topic that carries `state`. Raises KeyError for a class that no topic carries."""
    return _BY_STATE[state]


def topic_named(name: str) -> Topic[Any]:
    """Raises KeyError for a name that is none of ours."""
    return _BY_NAME[name]


__all__ = ["TOPICS", "Topic", "topic_named", "topic_of"]
