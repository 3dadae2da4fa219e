"""A campaign's books in memory: its purse, its participations, their items, and the facts that move them."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid5

from souk.billing.domain.accrual import Purse
from souk.contracts.ids import NAMESPACE
from souk.contracts.money import BasisPoints
from souk.contracts.topics.campaigns import Rates
from souk.contracts.topics.conversions import OrderLine
from souk.contracts.topics.posts import Post


class Kind(IntEnum):
    """Of an item. The order breaks ties of age."""

    POST = 1
    LINK = 2
    CONVERSION = 3
    FOLLOWERS = 4


class Cause(NamedTuple):
    """The event that caused an entry: a state of a topic at a version, or a timer of ours."""

    topic: str
    subject: UUID
    version: int
    event: str
    at: datetime
    """When it happened by the suite's clock: an entry counts for a payment run by this instant."""


class Counted(NamedTuple):
    """What a post is paid by. Not the contract's model, which takes ten times as long to make and compare."""

    views: int = 0
    likes: int = 0
    comments: int = 0
    shares: int = 0


class Fact(NamedTuple):
    """A post, a link or a conversion as its owner last described it, and nothing of what it earned.

    participation_id: None for a conversion that nobody is credited with.
    active: it counts. live: of a post, its status lets it count, and it does if `would_count`, unless
    another was granted its place: then it stands aside. asks: it wants to be effective again and waits for
    the budget's answer; it would count then if `would_count`. approved_at: of a post, since when what
    it earns is payable. disputed: not to be approved by the settlement. reversed: clicks that staff took
    back, which `units` holds no more. since, name: its age among the items of its participation; attributes
    of the domain, so that the same input gives the same order.
    """

    id: UUID
    kind: Kind
    campaign_id: UUID
    participation_id: UUID | None
    version: int
    changed_at: datetime
    topic: str
    active: bool
    since: datetime | None
    name: str
    live: bool = False
    asks: bool = False
    would_count: bool = False
    approved_at: datetime | None = None
    disputed: bool = False
    counted: Counted = Counted()
    units: int = 0
    reversed: int = 0
    lines: tuple[OrderLine, ...] = ()
    currency: str | None = None


@dataclass(slots=True)
class Item:
    """A fact and its split: worth = earned + capped + refused.

    payable: the part of `earned` that was approved. approved_at: since then it is frozen at
    `approved_worth`; it may fall below (refund, reversed verdict, ineffective), never rise above, but that
    a link is approved again with the clicks that were told late. reason: why it is worth nothing though it
    counts: `too_large`, amounts that no order has or no sum of a participation holds.
    """

    fact: Fact
    worth: int = 0
    earned: int = 0
    capped: int = 0
    refused: int = 0
    payable: int = 0
    approved_at: datetime | None = None
    approved_worth: int = 0
    reason: Literal["too_large"] | None = None

    @property
    def age(self) -> tuple[float, int, str]:
        since = self.fact.since
        return (since.timestamp() if since else 0.0, self.fact.kind, self.fact.name)


@dataclass(slots=True)
class Participation:
    """An influencer in a campaign: sums of its items, and what it takes to value them.

    live_posts, approved_posts: posts that count, and those of them that are approved (the follower fee
    hangs on them). reinstated: billing's answer to each post that asks to count again, for as long as it
    asks: one that was dropped earlier would leave its post waiting for ever.
    """

    id: UUID
    campaign_id: UUID
    influencer_id: UUID
    joined_at: datetime
    arrival: int
    version: int = 0
    commission: BasisPoints | None = None
    followers_base: int | None = None
    worth: int = 0
    revenue: int = 0
    capped: int = 0
    refused: int = 0
    cost: int = 0
    approved: int = 0
    live_posts: int = 0
    approved_posts: int = 0
    reinstated: dict[UUID, tuple[int, bool]] = field(default_factory=dict)


def payable_since(post: Post) -> datetime | None:
    """When the post was approved, or began to count if that was later; None for one that isn't approved.

    The approval's own instant would lie in a payment run that may be over by then.
    """
    if post.status != "approved":
        return None
    approved_at = post.approved_at or post.changed_at
    return max(approved_at, post.counts_since or approved_at)


def fee_id(participation: UUID) -> UUID:
    """The item of a participation's follower fee."""
    return uuid5(NAMESPACE, f"follower-fee:{participation}")


class Entry(NamedTuple):
    """One balanced movement of the ledger: differences, micros.

    payable: the part of `earned` that goes to or from payable, or what an approval moves there.
    """

    participation: Participation
    item_id: UUID
    cause: Cause
    earned: int
    cost: int
    payable: int
    approves: bool
    inputs: dict[str, Any]


@dataclass(slots=True)
class Books:
    """Everything of one campaign that a batch needs.

    multi_posting: several posts of a participation may count at a time.
    settled_at: when its links and conversions were approved; those that come later are as they come.
    """

    campaign_id: UUID
    currency: str
    rates: Rates
    purse: Purse
    multi_posting: bool
    settled_at: datetime | None = None
    participations: dict[UUID, Participation] = field(default_factory=dict)
    items: dict[UUID, Item] = field(default_factory=dict)
    by_participation: defaultdict[UUID, list[Item]] = field(default_factory=lambda: defaultdict(list))

    def add(self, item: Item) -> Item:
        self.items[item.fact.id] = item
        if item.fact.participation_id is not None:
            self.by_participation[item.fact.participation_id].append(item)
        return item

    def drop(self, item: Item) -> None:
        del self.items[item.fact.id]
        if item.fact.participation_id is not None:
            self.by_participation[item.fact.participation_id].remove(item)

    def rivals(self, post: Item) -> list[Item]:
        """The participation's other posts, where only one of them may count."""
        if self.multi_posting or post.fact.participation_id is None:
            return []
        posts = self.by_participation[post.fact.participation_id]
        return [item for item in posts if item is not post and item.fact.kind == Kind.POST]

    def waiting(self, participation: Participation) -> list[Item]:
        """The items with capped parts, oldest first: cap room that comes free is theirs."""
        if participation.capped == 0:
            return []
        capped = [item for item in self.by_participation[participation.id] if item.capped]
        return sorted(capped, key=lambda item: item.age)
