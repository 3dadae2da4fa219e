"""Orders and refunds become conversions (domain.md §5)."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Row

from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.ids import CampaignId, conversion_id
from souk.tracking.domain.conversions import (
    Decision,
    Order,
    Refund,
    Source,
    Terms,
    attribute,
    is_later,
    refunded_lines,
)
from souk.tracking.store import conversions as store
from souk.tracking.store import copies
from souk.tracking.store.tables import conversion

_FOLLOWED_AT_ONCE = 1000

Outcome = Literal["recorded", "unchanged", "ignored", "waiting"]


async def record_order(work: Work, shop: Row[Any], order: Order, source: Source) -> Outcome:
    """Record what the shop tells of one order.

    The first telling with a code or a click makes the conversion, and its codes and clicks stay; the
    latest telling gives the lines. `ignored`: neither code nor click, or another shop told of it first.
    """
    await copies.share_campaigns(work, {shop.campaign_id})
    name = conversion_id(CampaignId(shop.campaign_id), order.id)
    if (
        not order.codes
        and not order.clicks
        and not await store.lock(work, conversion.c.id == name, conversion.c.version > 0)
    ):
        return "ignored"
    row = await store.expect(work, _placeholder(work, shop, order.id, source))
    if row.version and row.shop_id != shop.id:
        return "ignored"
    for refund in order.refunds:
        await store.add_refund(work, row.id, refund)
    values = _told(row, order)
    lines = refunded_lines(values, await store.refunds_of(work, row))
    told = {
        "id": row.id,
        "shop_id": shop.id,
        "source": source,
        "ordered_at": values.ordered_at,
        "updated_at": values.updated_at,
        "currency": values.currency,
        "lines": store.lines_column(values, lines),
        "codes": list(values.codes),
        "clicks": list(values.clicks),
        "taxes_included": values.taxes_included,
        "wholly_refunded": values.wholly_refunded,
        "refunded": values.refunded,
    }
    decision = (await _decide(work, [(row, values)]))[0]
    told |= _decided(decision)
    if row.version and all(getattr(row, key) == value for key, value in told.items() if key != "updated_at"):
        # Only when it was told is new; without it an older telling that comes late would count as newer.
        await store.note_update(work, row.id, told["updated_at"])
        return "unchanged"
    event = "conversion.recorded"
    if row.version:
        fell = _refunded(told["lines"]) > _refunded(row.lines)
        event = "conversion.refunded" if fell else "conversion.changed"
    for saved in await store.save(work, [told]):
        work.publish(event, store.conversion_state(saved))
    return "recorded"


def _told(row: Row[Any], order: Order) -> Order:
    """What holds after this telling: the later one's lines, the first one's codes, clicks and time."""
    if not row.version:
        return _casefolded(order)
    known = store.order_of(row)
    newest = order if is_later(order, known) else known
    return Order(
        id=order.id,
        ordered_at=known.ordered_at,
        updated_at=newest.updated_at,
        currency=known.currency,
        lines=newest.lines,
        codes=known.codes,
        clicks=known.clicks,
        taxes_included=newest.taxes_included,
        wholly_refunded=known.wholly_refunded or order.wholly_refunded,
        refunded=max(known.refunded, order.refunded),
    )


def _casefolded(order: Order) -> Order:
    return replace(order, codes=tuple(code.casefold() for code in order.codes))


async def record_refund(work: Work, shop: Row[Any], refund: Refund) -> Outcome:
    """A refund lowers its own lines, once per refund id; one that comes before its order waits for it."""
    await copies.share_campaigns(work, {shop.campaign_id})
    row = await store.expect(work, _placeholder(work, shop, refund.order_id, "shop"))
    if row.shop_id != shop.id:
        return "ignored"
    if not await store.add_refund(work, row.id, refund):
        return "unchanged"
    if not row.version:
        return "waiting"
    order = store.order_of(row)
    lines = store.lines_column(order, refunded_lines(order, await store.refunds_of(work, row)))
    if lines == row.lines:
        return "unchanged"
    for saved in await store.save(work, [{"id": row.id, "lines": lines}]):
        work.publish("conversion.refunded", store.conversion_state(saved))
    return "recorded"


async def decide_again(work: Work, *conditions: Any) -> None:
    """Credit and judge recorded conversions anew after a fact that they may have waited for arrived."""
    rows = await store.lock(work, conversion.c.version > 0, *conditions)
    if not rows:
        return
    decisions = await _decide(work, [(row, store.order_of(row)) for row in rows])
    changed = []
    for row, decision in zip(rows, decisions, strict=True):
        values = _decided(decision)
        if any(getattr(row, key) != value for key, value in values.items()):
            changed.append({"id": row.id, **values})
    for saved in await store.save(work, changed):
        work.publish("conversion.changed", store.conversion_state(saved))


async def follow_terms(
    work: Work, campaigns: Collection[UUID], after: store.Place | None
) -> store.Place | None:
    """Judge anew what is or may be credited in campaigns with changed terms; their rows are held.

    1,000 at once, in the order that money follows: the one to go on after.
    """
    return await _follow(work, after, store.creditable(campaigns))


async def follow_participations(work: Work, rows: Collection[Row[Any]]) -> store.Place | None:
    """Participations changed; their campaigns' rows are held. As `follow_terms`, the first 1,000."""
    codes = {row.code for row in rows if row.code}
    touched = store.touched_by({row.campaign_id for row in rows}, {row.id for row in rows}, codes)
    return await _follow(work, None, touched)


async def _follow(work: Work, after: store.Place | None, which: ColumnElement[bool]) -> store.Place | None:
    part = await store.places(work, after, _FOLLOWED_AT_ONCE, which)
    if not part:
        return None
    await decide_again(work, among(conversion.c.id, [name for *_, name in part]))
    return part[-1] if len(part) == _FOLLOWED_AT_ONCE else None


async def follow_clicks(work: Work, clicks: Collection[UUID]) -> None:
    """Clicks arrived that an order may have named before; their campaigns' rows are held."""
    await decide_again(work, conversion.c.clicks.overlap(list(clicks)))


async def dispute(work: Work, row: Row[Any], *, disputed: bool) -> Row[Any]:
    """While it is disputed, its earning is not approved."""
    locked = (await store.lock(work, conversion.c.id == row.id))[0]
    if locked.disputed == disputed:
        return locked
    saved = (await store.save(work, [{"id": row.id, "disputed": disputed}]))[0]
    work.publish("conversion.disputed" if disputed else "conversion.changed", store.conversion_state(saved))
    return saved


def _placeholder(work: Work, shop: Row[Any], order_id: str, source: Source) -> dict[str, Any]:
    return {
        "id": conversion_id(CampaignId(shop.campaign_id), order_id),
        "changed_at": work.now,
        "campaign_id": shop.campaign_id,
        "order_id": order_id,
        "shop_id": shop.id,
        "source": source,
    }


async def _decide(work: Work, orders: Sequence[tuple[Row[Any], Order]]) -> list[Decision]:
    """By the conversions' rows, which hold what was decided before, and their orders."""
    campaigns = await copies.share_campaigns(work, {row.campaign_id for row, _ in orders})
    codes = await store.candidates_by_code(
        work, {(row.campaign_id, code) for row, order in orders for code in order.codes}
    )
    touches = await store.touches_of(work, {each for _, order in orders for each in order.clicks})
    credit = {row.id: store.credit_of(row) for row, _ in orders}
    participations = await store.candidates_by_id(
        work,
        {touch.participation_id for touch in touches.values()}
        | {given.participation_id for given in credit.values() if given is not None},
    )
    return [
        attribute(
            order,
            _terms(campaigns[row.campaign_id]),
            codes.get(row.campaign_id, {}),
            [touches[each] for each in order.clicks if each in touches],
            participations,
            credit[row.id],
        )
        for row, order in orders
    ]


def _terms(row: Row[Any]) -> Terms:
    return Terms(
        CampaignId(row.id), row.currency, row.starts_at, row.ends_at, timedelta(days=row.window_days)
    )


def _decided(decision: Decision) -> dict[str, Any]:
    credited = decision.participation
    return {
        "participation_id": credited.id if credited else None,
        "influencer_id": credited.influencer_id if credited else None,
        "attribution": decision.attribution,
        "verdict": decision.verdict,
        "reason": str(decision.reason) if decision.reason else None,
    }


def _refunded(lines: Sequence[dict[str, Any]]) -> int:
    return sum(line["refunded"] for line in lines)
