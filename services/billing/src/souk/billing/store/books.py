"""Books read from and written to the database, set by set."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Row, Select, Uuid, any_, bindparam, delete, select, text

from souk.billing.domain.accrual import Purse
from souk.billing.domain.books import Books, Counted, Fact, Item, Kind, Participation
from souk.billing.store.sets import columns, from_arrays, from_rows
from souk.billing.store.tables import account, item, participation, queued_fact
from souk.chassis.prepared import Prepared
from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.money import BasisPoints
from souk.contracts.topics.campaigns import Rates
from souk.contracts.topics.conversions import CONVERSIONS, OrderLine
from souk.contracts.topics.links import LINKS
from souk.contracts.topics.participations import PARTICIPATIONS
from souk.contracts.topics.posts import POSTS

_TOPICS = {
    Kind.POST: POSTS.name,
    Kind.LINK: LINKS.name,
    Kind.CONVERSION: CONVERSIONS.name,
    Kind.FOLLOWERS: PARTICIPATIONS.name,
}
_KINDS = {int(kind): kind for kind in Kind}
_IDS = bindparam("ids", type_=ARRAY(Uuid))
_PLACEHOLDERS = text(
    "INSERT INTO account (id) SELECT id FROM unnest(:ids) AS missing (id) ORDER BY id ON CONFLICT DO NOTHING"
).bindparams(_IDS)
_LOCK = Prepared(select(account).where(account.c.id == any_(_IDS)).order_by(account.c.id).with_for_update())

_ACCOUNT = ("id", "version", "budget", "budget_version", "cap", "consumed", "revenue", "peak_cost",
            "exhausted", "exhausted_at", "changed_at")  # fmt: skip
_SAVE_ACCOUNTS = from_arrays(
    "UPDATE account a SET version = r.version, budget = r.budget, budget_version = r.budget_version, "
    "cap = r.cap, consumed = r.consumed, revenue = r.revenue, peak_cost = r.peak_cost, "
    "exhausted = r.exhausted, exhausted_at = r.exhausted_at, changed_at = r.changed_at "
    "FROM {source} r WHERE a.id = r.id",
    account,
    _ACCOUNT,
)
SUMS = ("id", "version", "cap", "worth", "revenue", "capped", "refused", "cost", "approved",
                  "live_posts", "approved_posts", "reinstated", "changed_at")  # fmt: skip
_SAVE_PARTICIPATIONS = from_rows(
    "UPDATE participation p SET "  # noqa: S608  our own columns
    + ", ".join(f"{name} = r.{name}" for name in SUMS[1:-1])
    # It is published: two states of one version must not differ in it.
    + ", changed_at = CASE WHEN p.version = r.version THEN p.changed_at ELSE r.changed_at END"
    " FROM {source} r WHERE p.id = r.id",
    "participation_values",
    participation,
    SUMS,
)
_FACT = ("id", "kind", "campaign_id", "participation_id", "version", "changed_at", "active", "live", "asks",
         "would_count", "disputed", "since", "name", "fact_approved_at", "views", "likes", "comments",
         "shares", "units", "reversed", "lines", "currency")  # fmt: skip
ITEM = (*_FACT, "folded", "worth", "earned", "capped", "refused", "payable", "approved_at", "approved_worth",
         "reason")  # fmt: skip
_QUEUE = from_arrays(
    "INSERT INTO queued_fact ({names}, arrival) SELECT {names}, nextval('arrival') FROM {source} r",
    queued_fact,
    _FACT,
)
_SAVE_ITEMS = from_rows(
    # The arrival is that of the item's first fact: what waits is folded in this order.
    "INSERT INTO item ({names}, arrival) SELECT {names}, nextval('arrival') FROM {source} r "  # noqa: S608
    "ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in ITEM if name not in ("id", "kind", "campaign_id")),
    "item_values",
    item,
    ITEM,
)


_SAVED_ITEM = [item.c[name] for name in ITEM]
_QUEUED = [*(queued_fact.c[name] for name in _FACT), queued_fact.c.arrival]
_FOLDED = ITEM.index("folded")
_ITEMS = Prepared(select(*_SAVED_ITEM).where(item.c.id == any_(_IDS)))
_OF_PARTICIPATIONS = select(*_SAVED_ITEM).where(item.c.participation_id == any_(_IDS))
_CAPPED_ITEMS = Prepared(_OF_PARTICIPATIONS.where(item.c.capped > 0))
_RIVALS = Prepared(_OF_PARTICIPATIONS.where(item.c.kind == int(Kind.POST), item.c.folded, item.c.would_count))
_CONVERSIONS = Prepared(
    _OF_PARTICIPATIONS.where(item.c.kind == int(Kind.CONVERSION), item.c.folded).order_by(
        item.c.since, item.c.name
    )
)
PARTICIPATION = [
    participation.c[name]
    for name in ("id", "campaign_id", "influencer_id", "joined_at", "arrival", "version", "commission",
                 "followers_base", "worth", "revenue", "capped", "refused", "cost", "approved", "live_posts",
                 "approved_posts", "reinstated")
]  # fmt: skip
"""The columns that a `Participation` is made of, in the order of its fields."""
_PARTICIPATIONS = Prepared(select(*PARTICIPATION).where(participation.c.id == any_(_IDS)))
_CAPPED_PARTICIPATIONS = Prepared(
    select(*PARTICIPATION).where(participation.c.campaign_id == any_(_IDS), participation.c.capped > 0)
)


async def lock(work: Work, campaigns: Collection[UUID]) -> dict[UUID, Row[Any]]:
    """The accounts of `campaigns`, locked in the order of their ids; placeholders where none was.

    Whoever comes first with a campaign, a participation or a fact makes the row that the others wait
    on, so none of two workers can miss what the other is just inserting.
    """
    ids = {"ids": sorted(campaigns)}
    rows = await work.run(_LOCK, ids)
    if len(rows) < len(ids["ids"]):
        await work.execute(_PLACEHOLDERS, ids)
        rows = await work.run(_LOCK, ids)
    return {row.id: row for row in rows}


def is_known(row: Row[Any]) -> bool:
    """Whether the campaign is approved and its terms have arrived: only then can anything be earned.

    Older terms than those of the approval don't do: the margin is fixed from here on.
    """
    return bool(row.approved) and row.terms_version >= max(1, row.terms_needed)


def open_books(row: Row[Any]) -> Books:
    """A known account's books, without participations and items yet."""
    purse = Purse(
        budget=row.budget,
        cap=row.cap,
        margin=BasisPoints(row.margin),
        consumed=row.consumed,
        revenue=row.revenue,
        peak=row.peak_cost,
        exhausted=row.exhausted,
    )
    return Books(
        row.id,
        row.currency,
        Rates(**row.rates),
        purse,
        multi_posting=row.multi_posting,
        settled_at=row.settled_at,
    )


async def participations(work: Work, ids: Collection[UUID]) -> list[Participation]:
    return [participation_of(row) for row in await _found(work, _PARTICIPATIONS, ids)]


async def capped_participations(work: Work, campaign: UUID) -> list[Participation]:
    """Those of the campaign that have capped parts: a higher cap is theirs."""
    return [participation_of(row) for row in await _found(work, _CAPPED_PARTICIPATIONS, [campaign])]


def participation_of(row: Any) -> Participation:
    """Of a row that begins with `PARTICIPATION`."""
    values = list(row[: len(PARTICIPATION)])
    values[-1] = {UUID(post): (version, granted) for post, version, granted in values[-1]}
    return Participation(*values)


async def items(work: Work, ids: Collection[UUID]) -> list[tuple[Item, bool]]:
    """The items with these ids, and whether each is folded."""
    return [(_item(row), row[_FOLDED]) for row in await _found(work, _ITEMS, ids)]


async def capped_items(work: Work, participations: Collection[UUID]) -> list[Item]:
    return [_item(row) for row in await _found(work, _CAPPED_ITEMS, participations)]


async def rivals(work: Work, participations: Collection[UUID]) -> list[Item]:
    """Folded posts that count, or would but for another that was granted their place."""
    return [_item(row) for row in await _found(work, _RIVALS, participations)]


async def conversions(work: Work, participations: Collection[UUID]) -> list[Item]:
    """Folded conversions, oldest first."""
    return [_item(row) for row in await _found(work, _CONVERSIONS, participations)]


async def _found(work: Work, statement: Prepared, ids: Collection[UUID]) -> list[Any]:
    return await work.run(statement, {"ids": list(ids)}) if ids else []


async def unapproved(work: Work, campaign: UUID, limit: int) -> list[Item]:
    """Links and conversions that the settlement has still to approve."""
    t = item.c
    query = (
        select(*_SAVED_ITEM)
        .where(
            t.campaign_id == any_(_IDS),
            t.kind.in_([int(Kind.LINK), int(Kind.CONVERSION)]),
            t.approved_at.is_(None),
            t.active,
            ~t.disputed,
            t.folded,
        )
        .order_by(t.id)
        .limit(limit)
    )
    return [_item(row) for row in await _items(work, query, [campaign])]


async def waiting(
    work: Work, campaigns: Collection[UUID], participations: Collection[UUID] | None, limit: int
) -> list[Fact]:
    """Facts that wait, of participations that are there, in the order of their arrival."""
    query = (
        select(*_SAVED_ITEM)
        .join(participation, participation.c.id == item.c.participation_id)
        .where(item.c.campaign_id == any_(_IDS), ~item.c.folded)
        .order_by(item.c.arrival)
        .limit(limit)
    )
    if participations is not None:
        query = query.where(among(item.c.participation_id, participations))
    return [_item(row).fact for row in await _items(work, query, campaigns)]


async def _items(work: Work, query: Select[Any], ids: Collection[UUID]) -> Sequence[Row[Any]]:
    return await work.fetch_all(query, {"ids": list(ids)}) if ids else []


def _fact(row: Any) -> Fact:
    """Of a row that begins with the columns of `_FACT`."""
    (
        key, kind, campaign_id, participation_id, version, changed_at, active, live, asks, would_count,
        disputed, since, name, approved_at, views, likes, comments, shares, units, reversed_, lines, currency,
    ) = row[: len(_FACT)]  # fmt: skip
    return Fact(
        key, _KINDS[kind], campaign_id, participation_id, version, changed_at, _TOPICS[kind], active, since,
        name, live, asks, would_count, approved_at, disputed, Counted(views, likes, comments, shares), units,
        reversed_, tuple([OrderLine(**line) for line in lines]) if lines else (), currency,
    )  # fmt: skip


def _item(row: Any) -> Item:
    """Of a row with the columns of `ITEM`."""
    return Item(_fact(row), *row[len(_FACT) + 1 :])


async def save_accounts(work: Work, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        await work.run(_SAVE_ACCOUNTS, {name: [row[name] for row in rows] for name in _ACCOUNT})


Values = tuple[Any, ...]
"""A row to save."""


async def save_participations(work: Work, rows: Sequence[Values]) -> None:
    if rows:
        await work.run(_SAVE_PARTICIPATIONS, {"rows": rows})


def participation_values(p: Participation, cap: int | None, changed_at: datetime) -> Values:
    """cap: that it was held against."""
    answers = [[str(post), version, granted] for post, (version, granted) in p.reinstated.items()]
    return (
        p.id, p.version, cap, p.worth, p.revenue, p.capped, p.refused, p.cost, p.approved,
        p.live_posts, p.approved_posts, json.dumps(answers) if answers else "[]", changed_at,
    )  # fmt: skip


async def save_items(work: Work, rows: Sequence[Values]) -> None:
    """Items with their splits, and facts that wait, in the order given."""
    if rows:
        await work.run(_SAVE_ITEMS, {"rows": rows})


async def queue(work: Work, facts: Sequence[Fact]) -> None:
    """Keep facts of campaigns that are behind, in the order given."""
    if facts:
        await work.run(_QUEUE, columns(_FACT, [_fact_values(fact) for fact in facts]))


async def take_queued(work: Work, campaign: UUID, limit: int) -> list[Fact]:
    """The first queued facts of the campaign, whose account is locked, in the order of their arrival."""
    t = queued_fact.c
    first = select(t.arrival).where(t.campaign_id == campaign).order_by(t.arrival).limit(limit)
    rows = await work.fetch_all(delete(queued_fact).where(t.arrival.in_(first)).returning(*_QUEUED))
    return [_fact(row) for row in sorted(rows, key=lambda row: row.arrival)]


def _fact_values(f: Fact) -> tuple[Any, ...]:
    c = f.counted
    lines = json.dumps([line.model_dump() for line in f.lines]) if f.lines else None
    return (
        f.id, int(f.kind), f.campaign_id, f.participation_id, f.version, f.changed_at, f.active, f.live,
        f.asks, f.would_count, f.disputed, f.since, f.name, f.approved_at, c.views, c.likes, c.comments,
        c.shares, f.units, f.reversed, lines, f.currency,
    )  # fmt: skip


def item_values(one: Item, *, folded: bool) -> Values:
    return (
        *_fact_values(one.fact), folded, one.worth, one.earned, one.capped, one.refused, one.payable,
        one.approved_at, one.approved_worth, one.reason,
    )  # fmt: skip
