"""How an influencer is reached: known to notify alone."""

from typing import Literal

from souk.contracts.reasons import Locale
from souk.contracts.state import Part, State, classed
from souk.contracts.topic import Topic


class PushSubscription(Part):
    """A Web Push subscription (RFC 8030, RFC 8291): where to send, and the keys to encrypt with."""

    endpoint: str
    p256dh: str
    auth: str


class Contact(State):
    """Addresses and switches of the influencer with this id."""

    email: str | None = classed("personal", default=None)
    locale: Locale = "en"
    notifications: Literal["on", "off"] = "on"
    push: tuple[PushSubscription, ...] = classed("personal", default=())
    erased: bool = False


CONTACTS = Topic(
    name="influencer.contacts.private.v1",
    owner="influencer",
    state=Contact,
    events=("contact.set", "contact.erased"),
    readers=frozenset({"notify"}),
    data_class="private",
    partition_by="id",
    description="E-mail, push subscriptions, locale and switch of an influencer.",
)
