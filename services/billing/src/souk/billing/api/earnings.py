"""Earnings: what each participation earned, and why, down to the events."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Row

from souk.billing.domain.books import Kind
from souk.billing.store import earnings as store
from souk.billing.store.tables import entry, participation
from souk.chassis.amount import Amount
from souk.chassis.auth import Principal, allowed
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import Cursor, CursorDep, Page
from souk.chassis.problems import Refused
from souk.contracts.reasons import Reason

routes = Routes(prefix="/v1/earnings", tags=["earnings"])
Viewer = Annotated[Principal, allowed("report", "view")]

ITEMS_SHOWN = 500
_KINDS = {Kind.POST: "post", Kind.LINK: "link", Kind.CONVERSION: "conversion", Kind.FOLLOWERS: "followers"}
_LEGS_OF = {
    "advertiser": {"receivable"},
    "agency": {"receivable"},
    "influencer": {"accrued", "payable"},
    "talent-agency": {"accrued", "payable"},
}
_INPUTS_HIDDEN = {
    "advertiser": {"margin", "worth", "worth_before", "earned", "cap_room"},
    "agency": {"margin", "worth", "worth_before", "earned", "cap_room"},
    "influencer": {"margin", "budget_room"},
    "talent-agency": {"margin", "budget_room"},
}


class EarningOut(BaseModel):
    """Counted posts and their counted metrics are in full, whether or not cap or budget let them earn.

    worth … approved: staff and the influencer's side. cost: staff and the advertiser's side.
    worth = revenue + capped + refused; approved is part of revenue.
    """

    id: UUID
    campaign_id: UUID
    influencer_id: UUID
    currency: str
    posts: int
    views: int
    likes: int
    comments: int
    shares: int
    clicks: int
    conversions: int
    is_capped: bool
    worth: Amount | None = None
    revenue: Amount | None = None
    capped: Amount | None = None
    refused: Amount | None = None
    approved: Amount | None = None
    cost: Amount | None = None


class ItemOut(BaseModel):
    """worth = earned + capped + refused.

    reason: why it is worth nothing though it counts. `too_large`: its amounts are beyond any order's.
    """

    id: UUID
    kind: Literal["post", "link", "conversion", "followers"]
    name: str
    counts: bool
    units: dict[str, int]
    approved_at: datetime | None
    reason: str | None
    worth: Amount | None = None
    earned: Amount | None = None
    capped: Amount | None = None
    refused: Amount | None = None


class LegOut(BaseModel):
    """A debit is positive, a credit negative."""

    account: str
    amount: Amount


class EntryOut(BaseModel):
    """A movement of the ledger and its cause: the state of `subject` at `version`, on `topic`.

    inputs: what the rules were given, as they are inside: amounts in micros, margins in basis points.
    """

    id: int
    kind: str
    item_id: UUID | None
    at: datetime
    event: str
    topic: str
    subject: UUID
    version: int
    rule_version: int
    inputs: dict[str, Any]
    legs: list[LegOut]


class Explanation(BaseModel):
    """Every movement in order, paged; the items, oldest first, up to 500, on the first page."""

    earning: EarningOut
    items: list[ItemOut]
    entries: Page[EntryOut]


@routes.get("", response_model_exclude_unset=True)
async def list_earnings(
    work: WorkDep,
    who: Viewer,
    cursor: CursorDep,
    campaign_id: UUID | None = None,
    influencer_id: UUID | None = None,
) -> Page[EarningOut]:
    """In the order in which the participations came to be known."""
    query = store.visible_to(who, campaign_id, influencer_id)
    rows = await work.fetch_all(cursor.over(query, participation.c.arrival))
    return cursor.page(rows, lambda row: _out(row, who), keys=lambda row: (row.arrival,))


@routes.get("/{participation_id}", response_model_exclude_unset=True)
async def get_earning(participation_id: UUID, work: WorkDep, who: Viewer) -> EarningOut:
    return _out(await _visible(work, who, participation_id), who)


@routes.get("/{participation_id}/explanation", response_model_exclude_unset=True)
async def explain_earning(
    participation_id: UUID, work: WorkDep, who: Viewer, cursor: CursorDep
) -> Explanation:
    row = await _visible(work, who, participation_id)
    items = [] if cursor.keys is not None else await _items(work, participation_id, who)
    return Explanation(
        earning=_out(row, who), items=items, entries=await _entries(work, participation_id, who, cursor)
    )


async def _visible(work: WorkDep, who: Principal, participation_id: UUID) -> Row[Any]:
    row = await work.fetch_one(store.visible_to(who).where(participation.c.id == participation_id))
    if row is None:
        raise Refused(Reason.UNKNOWN_PARTICIPATION)
    return row


def _out(row: Row[Any], who: Principal) -> EarningOut:
    shown: dict[str, Any] = {}
    if who.role in ("staff", "influencer", "talent-agency"):
        shown |= {name: getattr(row, name) for name in ("worth", "revenue", "capped", "refused", "approved")}
    if who.role in ("staff", "advertiser", "agency"):
        shown["cost"] = row.cost
    counts = ("posts", "views", "likes", "comments", "shares", "clicks", "conversions")
    return EarningOut(
        id=row.id,
        campaign_id=row.campaign_id,
        influencer_id=row.influencer_id,
        currency=row.currency,
        is_capped=row.capped > 0,
        **{name: int(getattr(row, name) or 0) for name in counts},
        **shown,
    )


async def _items(work: WorkDep, participation_id: UUID, who: Principal) -> list[ItemOut]:
    query = store.items_of(participation_id)
    t = query.selected_columns
    rows = await work.fetch_all(query.order_by(t.since.nulls_first(), t.kind, t.name).limit(ITEMS_SHOWN))
    return [_item(row, who) for row in rows]


def _item(row: Row[Any], who: Principal) -> ItemOut:
    kind = Kind(row.kind)
    if kind == Kind.POST:
        units = {name: getattr(row, name) for name in ("views", "likes", "comments", "shares")}
    elif kind == Kind.CONVERSION:
        lines = row.lines or []
        units = {name: sum(line[name] for line in lines) for name in ("net", "refunded")}
    else:
        units = {"clicks" if kind == Kind.LINK else "followers": row.units}
    shown = {}
    if who.role in ("staff", "influencer", "talent-agency"):
        shown = {name: getattr(row, name) for name in ("worth", "earned", "capped", "refused")}
    return ItemOut(
        id=row.id,
        kind=_KINDS[kind],
        name=row.name,
        counts=row.active,
        units=units,
        approved_at=row.approved_at,
        reason=row.reason,
        **shown,
    )


async def _entries(work: WorkDep, participation_id: UUID, who: Principal, cursor: Cursor) -> Page[EntryOut]:
    rows = await work.fetch_all(cursor.over(store.entries_of(participation_id), entry.c.id))
    legs: dict[int, list[LegOut]] = {row.id: [] for row in rows}
    for leg in await store.legs_of(work, list(legs)):
        if who.role == "staff" or leg.account in _LEGS_OF[who.role]:
            legs[leg.entry_id].append(LegOut(account=leg.account, amount=leg.amount))
    hidden = _INPUTS_HIDDEN.get(who.role, set())
    return cursor.page(rows, lambda row: _entry(row, legs[row.id], hidden), keys=lambda row: (row.id,))


def _entry(row: Row[Any], legs: list[LegOut], hidden: set[str]) -> EntryOut:
    return EntryOut(
        id=row.id,
        kind=row.kind,
        item_id=row.item_id,
        at=row.at,
        event=row.event,
        topic=row.topic,
        subject=row.subject,
        version=row.subject_version,
        rule_version=row.rule_version,
        inputs={name: value for name, value in row.inputs.items() if name not in hidden},
        legs=legs,
    )
