"""Facts folded into a campaign's books, one by one in the order of their arrival (domain.md §6).

The order is part of the result: who gets the last of a budget is who came first. A fact that is not
newer than what its item has seen changes nothing.
"""

from collections.abc import Sequence
from typing import Any

from souk.billing.domain import worth
from souk.billing.domain.accrual import Change, fill, holds_whole, move
from souk.billing.domain.books import Books, Cause, Entry, Fact, Item, Kind, Participation, fee_id


def fold(books: Books, fact: Fact) -> list[Entry]:
    """Bring the books to `fact`; the ledger entries that this makes, in order.

    Its participation and item, if there is one, are in `books`, with every item whose capped parts may
    get room by it.
    """
    item = books.items.get(fact.id)
    if item is None:
        if fact.participation_id is None:
            return []
        item = books.add(Item(fact._replace(version=0, active=False)))
    if item.fact.version >= fact.version:
        return []
    cause = Cause(fact.topic, fact.id, fact.version, _event_of(fact), fact.changed_at)
    entries = []
    if item.fact.participation_id != fact.participation_id:
        entries += _take_away(books, item, cause)
        if fact.participation_id is None:
            item.fact = fact._replace(participation_id=item.fact.participation_id, active=False)
            return entries
        books.by_participation[item.fact.participation_id].remove(item)  # type: ignore[index]
        books.by_participation[fact.participation_id].append(item)
    participation = books.participations[fact.participation_id]  # type: ignore[index]
    if fact.kind == Kind.POST:
        return [*entries, *_fold_post(books, participation, item, fact, cause)]
    released = releases(item.fact, fact)
    item.fact = fact
    return [*entries, *revalue(books, participation, item, cause, released=released)]


def releases(before: Fact, now: Fact) -> bool:
    """Whether what the item falls by is money that staff, or the shop, released: it reopens a spent campaign.

    It is when the item counts no more (a post that is ineffective or asks to return, an order that is
    unqualified or somebody else's), when more of its clicks are reversed, or when more of its order is
    refunded, and when a post gives up the return that it was granted. A mere recount isn't, be it of views,
    clicks, followers or an order's value, or of which post counts, nor is a lower commission.
    """
    is_recounted = now.live and not before.asks
    return (
        (before.active and not now.active and not is_recounted)
        or now.reversed > before.reversed
        or _refunded(now) > _refunded(before)
    )


def worth_of(books: Books, participation: Participation, fact: Fact) -> int:
    """What `fact` is worth by the campaign's rates, before cap and budget; an absurd order nothing."""
    if not fact.active:
        return 0
    if fact.kind == Kind.POST:
        return worth.post(books.rates, fact.counted)
    if fact.kind == Kind.LINK:
        return worth.clicks(books.rates, fact.units)
    if fact.currency != books.currency or worth.is_absurd(fact.lines):
        return 0
    return worth.conversion(books.rates, participation.commission, fact.lines)


def revalue(
    books: Books, participation: Participation, item: Item, cause: Cause, *, released: bool
) -> list[Entry]:
    """Bring a link or a conversion to what its fact is worth now; approve it if the campaign is settled.

    An approved conversion is frozen, an approved link may rise: its clicks were made before the end,
    however late they are told. What comes after the settlement is payable when it was counted, and at the
    settlement at the earliest.
    """
    value = worth_of(books, participation, item.fact)
    if item.fact.kind == Kind.LINK and value > item.worth:
        item.approved_at = None
    entries = _move(books, participation, item, value, cause, released=released)
    if books.settled_at is not None:
        entries += approve(books, item, cause._replace(at=max(cause.at, books.settled_at)))
    return entries


def fold_followers(
    books: Books, participation: Participation, cause: Cause, *, released: bool
) -> list[Entry]:
    """The follower fee: due once, while a post counts; approved with the first approved post."""
    if books.rates.follower == 0:
        return []
    base = participation.followers_base
    due = participation.live_posts > 0 and base is not None
    item = books.items.get(fee_id(participation.id))
    if item is None:
        if not due:
            return []
        item = books.add(_fee_item(books, participation))
    units = (base or 0) if due else 0
    to_approve = due and participation.approved_posts > 0 and item.approved_at is None
    if item.fact.active == due and item.fact.units == units and not to_approve:
        return []
    item.fact = item.fact._replace(active=due, units=units, version=item.fact.version + 1)
    value = worth.followers(books.rates, units)
    entries = _move(books, participation, item, value, cause, released=released)
    if not due:
        item.approved_at = None
    elif to_approve:
        entries += approve(books, item, cause)
    return entries


def approve(books: Books, item: Item, cause: Cause) -> list[Entry]:
    """Freeze `item` and make what it earned payable. Nothing for what is frozen, or isn't to be approved."""
    fact = item.fact
    if item.approved_at is not None or fact.disputed or not fact.active or fact.participation_id is None:
        return []
    item.approved_at = cause.at
    item.approved_worth = item.worth
    amount = item.earned - item.payable
    if amount == 0:
        return []
    item.payable = item.earned
    participation = books.participations[fact.participation_id]
    participation.approved += amount
    inputs = {"worth": item.worth, "earned": item.earned}
    return [Entry(participation, fact.id, cause, 0, 0, amount, approves=True, inputs=inputs)]


def raise_cap(books: Books, cap: int | None, cause: Cause) -> list[Entry]:
    """A higher cap frees room, which capped parts take at once, by who joined first, oldest item first."""
    old, books.purse.cap = books.purse.cap, cap
    if old is None:
        return []
    entries: list[Entry] = []
    for participation in sorted(books.participations.values(), key=lambda p: (p.joined_at, p.arrival)):
        if participation.capped:
            freed = participation.capped if cap is None else cap - old
            inputs = {"cap": cap, "cap_before": old, "budget_room": books.purse.room}
            changes = fill(books.purse, participation, freed, books.waiting(participation))
            entries += _entries(books, participation, changes, cause, inputs)
    return entries


def _fold_post(
    books: Books, participation: Participation, item: Item, fact: Fact, cause: Cause
) -> list[Entry]:
    before = item.fact
    participation.reinstated.pop(fact.id, None)
    if before.active and item.approved_at is not None and fact.active:
        # Approved is approved: neither metrics nor a warning that came later move it.
        item.fact = fact._replace(counted=before.counted, approved_at=item.approved_at)
        return []
    entries: list[Entry] = []
    if fact.asks:
        if before.active:
            entries += _value_post(books, participation, item, fact._replace(asks=False), cause)
        leaving = _leaving(books, item) if fact.would_count else []
        granted = _holds_again(books, participation, fact, leaving)
        participation.reinstated[fact.id] = (fact.version, granted)
        if granted:
            for other in leaving:
                entries += _stand_aside(books, participation, other, cause)
            fact = fact._replace(active=fact.would_count)
    elif participation.reinstated and any(o.fact.asks and o.fact.active for o in books.rivals(item)):
        fact = fact._replace(active=False)
    entries += _value_post(books, participation, item, fact, cause)
    if before.active and participation.live_posts == 0:
        entries += _stand_up(books, participation, item, cause)
    return entries


def _leaving(books: Books, item: Item) -> list[Item]:
    """The posts whose place `item` takes when it returns; an approved one keeps its own."""
    return [other for other in books.rivals(item) if other.fact.active and other.approved_at is None]


def _stand_aside(books: Books, participation: Participation, item: Item, cause: Cause) -> list[Entry]:
    """The post earns nothing while another has its place: what its owner tells will say the same."""
    participation.live_posts -= 1
    item.fact = item.fact._replace(active=False)
    return _move(books, participation, item, 0, cause, released=False)


def _stand_up(books: Books, participation: Participation, item: Item, cause: Cause) -> list[Entry]:
    """Where the return that had their place is given up, posts count again of which nothing new is told."""
    entries: list[Entry] = []
    for other in books.rivals(item):
        if other.fact.live and other.fact.would_count:
            entries += _value_post(books, participation, other, other.fact._replace(active=True), cause)
    return entries


def _value_post(
    books: Books, participation: Participation, item: Item, fact: Fact, cause: Cause
) -> list[Entry]:
    released = releases(item.fact, fact)
    participation.live_posts += fact.active - item.fact.active
    if item.approved_at is not None and not fact.active:
        participation.approved_posts -= 1
    item.fact = fact
    value = worth_of(books, participation, fact)
    entries = _move(books, participation, item, value, cause, released=released)
    if not fact.active:
        item.approved_at = None
    elif fact.approved_at is not None:
        entries += approve(books, item, cause._replace(at=fact.approved_at))
        participation.approved_posts += 1
    # Asked here as well: it spares most facts a cause of their own.
    if books.rates.follower:
        at = (fact.approved_at if fact.active else None) or cause.at
        entries += fold_followers(books, participation, cause._replace(at=at), released=released)
    return entries


def _holds_again(books: Books, participation: Participation, fact: Fact, leaving: Sequence[Item]) -> bool:
    """Whether the budget holds the whole post, with the follower fee that may come back with it."""
    if not fact.would_count:
        return True
    growth = int(worth.post(books.rates, fact.counted))
    if participation.live_posts == 0 and participation.followers_base is not None:
        growth += worth.followers(books.rates, participation.followers_base)
    return holds_whole(books.purse, participation, growth, leaving)


def _take_away(books: Books, item: Item, cause: Cause) -> list[Entry]:
    """The order is credited to somebody else: it was never worth anything to this one."""
    participation = books.participations[item.fact.participation_id]  # type: ignore[index]
    entries = _move(books, participation, item, 0, cause, released=True)
    item.approved_at = None
    return entries


def _move(
    books: Books, participation: Participation, item: Item, value: int, cause: Cause, *, released: bool
) -> list[Entry]:
    if item.approved_at is not None:
        value = min(value, item.approved_worth)
    is_too_large = worth.is_absurd(item.fact.lines) or not _holds(participation, item, value)
    item.reason = "too_large" if is_too_large else None
    if is_too_large:
        value = 0
    if value == item.worth:
        return []
    purse = books.purse
    inputs = {
        "worth": value,
        "worth_before": item.worth,
        "units": _units(item.fact),
        "cap_room": None if purse.cap is None else purse.cap - participation.revenue,
        "budget_room": purse.room,
        "margin": purse.margin,
    }
    if item.reason:
        inputs["reason"] = item.reason
    changes = move(
        purse,
        participation,
        item,
        value,
        released=released,
        older_first=books.waiting(participation) if value < item.worth else (),
    )
    return _entries(books, participation, changes, cause, inputs)


def _holds(participation: Participation, item: Item, value: int) -> bool:
    """Whether the participation's sums can hold the item at `value`.

    If not it is worth nothing: a state that can't be stored would hold up all that come after it.
    """
    return participation.worth - item.worth + value <= worth.LARGEST


def _entries(
    books: Books,
    participation: Participation,
    changes: Sequence[Change],
    cause: Cause,
    inputs: dict[str, Any],
) -> list[Entry]:
    entries = []
    for change in changes:
        if change.earned == 0 and change.cost == 0:
            continue
        item = change.item
        assert isinstance(item, Item)
        payable = _of_payable(item, change.earned)
        item.payable += payable
        participation.approved += payable
        entries.append(
            Entry(participation, item.fact.id, cause, change.earned, change.cost, payable, False, inputs)
        )
    return entries


def _of_payable(item: Item, earned: int) -> int:
    """How much of a change of `earned`, which is in the item already, falls to its approved part."""
    if item.approved_at is not None:
        return earned
    return min(0, item.earned - item.payable)


def _units(fact: Fact) -> dict[str, int]:
    if fact.kind == Kind.POST:
        counted = fact.counted
        return {
            "posting": 1, "views": counted.views, "likes": counted.likes,
            "comments": counted.comments, "shares": counted.shares,
        }  # fmt: skip
    if fact.kind == Kind.CONVERSION:
        return {"net": sum(line.net for line in fact.lines), "refunded": _refunded(fact)}
    return {"clicks" if fact.kind == Kind.LINK else "followers": fact.units}


def _refunded(fact: Fact) -> int:
    return sum(line.refunded for line in fact.lines)


def _fee_item(books: Books, participation: Participation) -> Item:
    return Item(
        Fact(
            id=fee_id(participation.id), kind=Kind.FOLLOWERS, campaign_id=books.campaign_id,
            participation_id=participation.id, version=0, changed_at=participation.joined_at, topic="",
            active=False, since=participation.joined_at, name="",
        )
    )  # fmt: skip


def _event_of(fact: Fact) -> str:
    if fact.kind == Kind.POST:
        if fact.asks:
            return "post.reinstating"
        if not fact.active:
            return "post.not_counted"
        return "post.approved" if fact.approved_at is not None else "post.measured"
    return "link.clicked" if fact.kind == Kind.LINK else "conversion.changed"
