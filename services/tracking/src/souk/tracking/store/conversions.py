"""Conversions, the refunds of their orders, and the shops that tell of them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    any_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.ids import CampaignId, InfluencerId, ParticipationId
from souk.contracts.money import Micros
from souk.contracts.reasons import Reason
from souk.contracts.topics.conversions import Conversion, OrderLine
from souk.tracking.domain.conversions import Candidate, Credit, Line, Order, Refund, RefundedLine, Touch
from souk.tracking.store.tables import click, conversion, participation, refund, shop


def conversion_state(row: Any) -> Conversion:
    return Conversion(
        id=row.id,
        version=row.version,
        changed_at=row.changed_at,
        campaign_id=row.campaign_id,
        participation_id=row.participation_id,
        influencer_id=row.influencer_id,
        order_id=row.order_id,
        source=row.source,
        attribution=row.attribution,
        ordered_at=row.ordered_at,
        currency=row.currency,
        lines=tuple(
            OrderLine(id=line["id"], net=line["net"], refunded=line["refunded"]) for line in row.lines
        ),
        verdict=row.verdict,
        reason=row.reason,
        disputed=row.disputed,
    )


def order_of(row: Any) -> Order:
    """The order as it is stored; `codes` are casefolded."""
    return Order(
        id=row.order_id,
        ordered_at=row.ordered_at,
        updated_at=row.updated_at,
        currency=row.currency,
        lines=tuple(Line(line["id"], line["quantity"], Micros(line["net"])) for line in row.lines),
        codes=tuple(row.codes),
        clicks=tuple(row.clicks),
        taxes_included=row.taxes_included,
        wholly_refunded=row.wholly_refunded,
        refunded=Micros(row.refunded),
    )


def credit_of(row: Any) -> Credit | None:
    """What a click was credited with; None when none was."""
    if row.attribution != "click":
        return None
    return Credit(ParticipationId(row.participation_id), row.reason != Reason.OUT_OF_WINDOW)


def lines_column(order: Order, lines: Sequence[OrderLine]) -> list[dict[str, Any]]:
    return [
        {"id": line.id, "quantity": line.quantity, "net": line.net, "refunded": told.refunded}
        for line, told in zip(order.lines, lines, strict=True)
    ]


async def expect(work: Work, row: Mapping[str, Any]) -> Row[Any]:
    """The conversion's row, locked; a placeholder (version 0) when nothing is recorded of it yet."""
    await work.execute(insert(conversion).values(**row, version=0).on_conflict_do_nothing())
    return (await lock(work, conversion.c.id == row["id"]))[0]


async def lock(work: Work, *conditions: Any) -> list[Row[Any]]:
    """Locked by id; returned by order time and order id, the order that money follows."""
    rows = await work.fetch_all(
        select(conversion).where(*conditions).order_by(conversion.c.id).with_for_update()
    )
    return sorted(
        rows, key=lambda row: (row.ordered_at is None, row.ordered_at or row.changed_at, row.order_id)
    )


Place = tuple[datetime, str, UUID]
"""Of a conversion in the order that money follows: order time, order id, its id."""


async def places(
    work: Work, after: Place | None, limit: int, *conditions: ColumnElement[bool]
) -> list[Place]:
    """The next recorded conversions that meet the conditions, without a lock."""
    order = (conversion.c.ordered_at, conversion.c.order_id, conversion.c.id)
    query = select(*order).where(conversion.c.version > 0, *conditions).order_by(*order).limit(limit)
    if after is not None:
        query = query.where(tuple_(*order) > after)
    return [(row.ordered_at, row.order_id, row.id) for row in await work.fetch_all(query)]


_NAMES_CLICKS = and_(conversion.c.attribution.is_(None), conversion.c.clicks != text("'{}'"))
"""Uncredited, and a click that it names may be of anybody."""


def creditable(campaigns: Collection[UUID]) -> ColumnElement[bool]:
    """Conversions of these campaigns that are credited to somebody, or may be by what is known."""
    known_code = exists().where(
        participation.c.campaign_id == conversion.c.campaign_id,
        participation.c.code == any_(conversion.c.codes),
    )
    return and_(
        among(conversion.c.campaign_id, campaigns),
        or_(conversion.c.attribution.is_not(None), _NAMES_CLICKS, known_code),
    )


def touched_by(
    campaigns: Collection[UUID], participations: Collection[UUID], codes: Collection[str]
) -> ColumnElement[bool]:
    """Conversions that new facts about these participations may credit otherwise."""
    return and_(
        among(conversion.c.campaign_id, campaigns),
        or_(
            among(conversion.c.participation_id, participations),
            _NAMES_CLICKS,
            conversion.c.codes.overlap(list(codes)) if codes else text("false"),
        ),
    )


async def note_update(work: Work, conversion_id: UUID, updated_at: datetime | None) -> None:
    """The order was told again as it stands: no new version."""
    await work.execute(
        update(conversion).where(conversion.c.id == conversion_id).values(updated_at=updated_at)
    )


async def save(work: Work, rows: Sequence[Mapping[str, Any]]) -> list[Row[Any]]:
    """Write locked conversions as their next versions, in the given order; the new rows in that order."""
    if not rows:
        return []
    columns = [name for name in rows[0] if name != "id"]
    await work.execute(
        update(conversion)
        .where(conversion.c.id == bindparam("b_id"))
        .values(
            {name: bindparam(name, type_=conversion.c[name].type) for name in columns}
            | {"version": conversion.c.version + 1, "changed_at": work.now}
        ),
        [{"b_id": row["id"], **{name: row[name] for name in columns}} for row in rows],
    )
    ids = [row["id"] for row in rows]
    saved = {
        row.id: row for row in await work.fetch_all(select(conversion).where(among(conversion.c.id, ids)))
    }
    return [saved[name] for name in ids]


async def add_refund(work: Work, conversion_id: UUID, given: Refund) -> bool:
    """Whether the refund was not known before."""
    lines = [
        {"line_id": line.line_id, "quantity": line.quantity, "subtotal": line.subtotal, "tax": line.tax}
        for line in given.lines
    ]
    added = await work.scalar(
        insert(refund)
        .values(conversion_id=conversion_id, refund_id=given.id, lines=lines)
        .on_conflict_do_nothing()
        .returning(refund.c.refund_id)
    )
    return added is not None


async def refunds_of(work: Work, row: Row[Any]) -> list[Refund]:
    rows = await work.fetch_all(
        select(refund).where(refund.c.conversion_id == row.id).order_by(refund.c.refund_id)
    )
    return [
        Refund(each.refund_id, row.order_id, tuple(RefundedLine(**line) for line in each.lines))
        for each in rows
    ]


def _candidate(row: Row[Any]) -> Candidate:
    return Candidate(
        ParticipationId(row.id), InfluencerId(row.influencer_id), row.state == "joined", row.withdrawn_at
    )


async def candidates_by_code(
    work: Work, codes: Collection[tuple[UUID, str]]
) -> dict[UUID, dict[str, Candidate]]:
    """By campaign and casefolded code; of two participations with one code the first by id."""
    found: dict[UUID, dict[str, Candidate]] = {}
    if codes:
        rows = await work.fetch_all(
            select(participation)
            .where(
                among(participation.c.campaign_id, {name for name, _ in codes}),
                among(participation.c.code, {code for _, code in codes}),
            )
            .order_by(participation.c.id)
        )
        for row in rows:
            found.setdefault(row.campaign_id, {}).setdefault(row.code, _candidate(row))
    return found


async def touches_of(work: Work, clicks: Collection[UUID]) -> dict[UUID, Touch]:
    if not clicks:
        return {}
    rows = await work.fetch_all(select(click).where(among(click.c.id, clicks)))
    return {
        row.id: Touch(
            row.id, CampaignId(row.campaign_id), ParticipationId(row.participation_id), row.clicked_at
        )
        for row in rows
    }


async def candidates_by_id(work: Work, ids: Collection[UUID]) -> dict[ParticipationId, Candidate]:
    if not ids:
        return {}
    rows = await work.fetch_all(select(participation).where(among(participation.c.id, ids)))
    return {ParticipationId(row.id): _candidate(row) for row in rows}


async def count_by_verdict(work: Work, campaign_id: UUID, *conditions: Any) -> dict[str, int]:
    """`qualified`, and the unqualified ones by their reason."""
    name = func.coalesce(conversion.c.reason, conversion.c.verdict).label("name")
    rows = await work.fetch_all(
        select(name, func.count().label("total"))
        .where(conversion.c.campaign_id == campaign_id, conversion.c.version > 0, *conditions)
        .group_by(name)
    )
    return {row.name: row.total for row in rows}


async def remove_waiting(work: Work, before: Any, limit: int) -> int:
    """Delete placeholders of orders that never came, with their refunds."""
    old = (
        select(conversion.c.id)
        .where(conversion.c.version == 0, conversion.c.changed_at < before)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = [row.id for row in await work.fetch_all(old)]
    if ids:
        await work.execute(delete(refund).where(among(refund.c.conversion_id, ids)))
        await work.execute(delete(conversion).where(among(conversion.c.id, ids)))
    return len(ids)


async def find_shop(work: Work, shop_id: UUID, kind: str) -> Row[Any] | None:
    return await work.fetch_one(select(shop).where(shop.c.id == shop_id, shop.c.kind == kind))


async def republished(work: Work, after: UUID | None, limit: int) -> list[Conversion]:
    query = (
        select(conversion)
        .where(conversion.c.version > 0)
        .order_by(conversion.c.id)
        .limit(limit)
        .with_for_update()
    )
    if after is not None:
        query = query.where(conversion.c.id > after)
    return [conversion_state(row) for row in await work.fetch_all(query)]
