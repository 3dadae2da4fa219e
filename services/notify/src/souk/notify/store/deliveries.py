"""Deliveries: made in bulk, settled in bulk, claimed before they are handed to anyone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Row,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    column,
    delete,
    exists,
    func,
    literal,
    literal_column,
    not_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.topics.deliveries import Channel, Delivery
from souk.notify.domain.definitions import Status
from souk.notify.store.tables import campaign, contact, delivery, suppression

Source = Select[tuple[str, str, UUID, str, str, list[UUID], list[UUID]]]
"""kind, channel, influencer_id, subject, occurrence, subject_ids, campaign_ids; contacts and campaigns
that it names have rows, locked by the caller."""

FINAL: tuple[Status, ...] = ("sent", "failed", "suppressed", "unknown")
_CHUNK = 5_000


def delivery_state(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        version=row.version,
        changed_at=row.changed_at,
        influencer_id=row.influencer_id,
        channel=row.channel,
        kind=row.kind,
        subject_ids=tuple(row.subject_ids),
        status=row.status,
        detail=row.detail,
    )


async def make(work: Work, source: Source) -> Sequence[Row[Any]]:
    """Insert what `source` says and isn't there yet; the new rows."""
    told = source.subquery("told")
    known = (
        select(
            _identity(told.c).label("id"),
            told.c.influencer_id,
            told.c.channel,
            told.c.kind,
            told.c.subject_ids,
            told.c.campaign_ids,
            _is_ready(told.c.campaign_ids, contact.c).label("ready"),
            _held_back(told.c.channel, contact.c).label("held_back"),
        )
        .join_from(told, contact, contact.c.id == told.c.influencer_id)
        .subquery("known")
    )
    status, detail = _verdict(known.c.ready, known.c.held_back, known.c.channel)
    made = select(
        known.c.id,
        literal(1),
        known.c.influencer_id,
        known.c.channel,
        known.c.kind,
        known.c.subject_ids,
        known.c.campaign_ids,
        status,
        detail,
        literal(work.now),
        literal(work.now),
    )
    columns = (
        "id", "version", "influencer_id", "channel", "kind", "subject_ids", "campaign_ids",
        "status", "detail", "made_at", "changed_at",
    )  # fmt: skip
    return await work.fetch_all(
        insert(delivery).from_select(columns, made).on_conflict_do_nothing().returning(delivery)
    )


async def settle_for(work: Work, influencers: Sequence[UUID]) -> Sequence[Row[Any]]:
    """Decide these influencers' waiting deliveries, as far as nothing is missing now; the decided rows."""
    return await _settle(work, among(delivery.c.influencer_id, influencers))


async def settle_about(work: Work, campaigns: Sequence[UUID]) -> Sequence[Row[Any]]:
    """Decide the waiting deliveries about these campaigns, as `settle_for` does."""
    return await _settle(work, delivery.c.campaign_ids.overlap(literal(campaigns, ARRAY(Uuid))))


async def _settle(work: Work, which: ColumnElement[bool]) -> Sequence[Row[Any]]:
    """The waiting deliveries among `which` whose missing part is here now, decided.

    They are locked in one statement and decided in the next: of two units that bring one missing part
    each, the later one waits at the lock and then sees what the earlier one brought.
    """
    waiting = (
        select(delivery.c.id)
        .where(delivery.c.status == "waiting", which)
        .order_by(delivery.c.id)
        .with_for_update()
    )
    ids = [row.id for row in await work.fetch_all(waiting)]
    if not ids:
        return []
    status, detail = _verdict(
        literal(value=True), _held_back(delivery.c.channel, contact.c), delivery.c.channel
    )
    return await work.fetch_all(
        update(delivery)
        .where(
            among(delivery.c.id, ids),
            contact.c.id == delivery.c.influencer_id,
            _is_ready(delivery.c.campaign_ids, contact.c),
        )
        .values(status=status, detail=detail, version=delivery.c.version + 1, changed_at=work.now)
        .returning(delivery)
    )


async def claim(work: Work, channel: Channel, wall: datetime, limit: int) -> Sequence[Row[Any]]:
    """Take at most `limit` due deliveries of `channel` for sending, the oldest first; with addresses.

    Whoever turned notices off since is left out: that row comes back `suppressed`.
    """
    due = (
        select(delivery.c.id)
        .where(
            delivery.c.status == "pending", delivery.c.channel == channel, delivery.c.next_attempt_at <= wall
        )
        .order_by(delivery.c.next_attempt_at, delivery.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    held_back = _held_back(delivery.c.channel, contact.c)
    return await work.fetch_all(
        update(delivery)
        .where(delivery.c.id == due.c.id, contact.c.id == delivery.c.influencer_id)
        .values(
            status=case((held_back.is_(None), "sending"), else_="suppressed"),
            detail=held_back,
            attempts=delivery.c.attempts + 1,
            version=delivery.c.version + case((held_back.is_(None), 0), else_=1),
            changed_at=work.now,
        )
        .returning(delivery, contact.c.email, contact.c.locale, _live_push().label("push"))
    )


async def abandon(work: Work, channel: Channel, limit: int = _CHUNK) -> Sequence[Row[Any]]:
    """Call `unknown` what a sender that is no more had claimed; it may have been handed over."""
    left = (
        select(delivery.c.id)
        .where(delivery.c.status == "sending", delivery.c.channel == channel)
        .order_by(delivery.c.id)
        .limit(limit)
        .with_for_update()
        .cte("left_over")
    )
    return await work.fetch_all(
        update(delivery)
        .where(delivery.c.id == left.c.id)
        .values(status="unknown", detail="interrupted", version=delivery.c.version + 1, changed_at=work.now)
        .returning(delivery)
    )


async def conclude(work: Work, results: Sequence[tuple[UUID, Status, str | None]]) -> Sequence[Row[Any]]:
    """Note (id, final status, detail) of claimed deliveries; the rows. One that was abandoned stays so."""
    if not results:
        return []
    result = (
        func.unnest(
            bindparam("ids", [r[0] for r in results], type_=ARRAY(Uuid)),
            bindparam("statuses", [r[1] for r in results], type_=ARRAY(Text)),
            bindparam("details", [r[2] for r in results], type_=ARRAY(Text)),
        )
        .table_valued(column("id", Uuid), column("status", Text), column("detail", Text))
        .render_derived("result")
    )
    return await work.fetch_all(
        update(delivery)
        .where(delivery.c.id == result.c.id, delivery.c.status == "sending")
        .values(
            status=result.c.status,
            detail=result.c.detail,
            version=delivery.c.version + 1,
            changed_at=work.now,
        )
        .returning(delivery)
    )


async def put_back(work: Work, again: Sequence[tuple[UUID, datetime, str | None]], *, tried: bool) -> None:
    """Have claimed deliveries (id, next attempt in wall time, why) sent later.

    tried: False when nobody was asked to take them, which is no attempt.
    """
    if not again:
        return
    late = (
        func.unnest(
            bindparam("ids", [a[0] for a in again], type_=ARRAY(Uuid)),
            bindparam("at", [a[1] for a in again], type_=ARRAY(delivery.c.next_attempt_at.type)),
            bindparam("details", [a[2] for a in again], type_=ARRAY(Text)),
        )
        .table_valued(
            column("id", Uuid), column("at", delivery.c.next_attempt_at.type), column("detail", Text)
        )
        .render_derived("late")
    )
    await work.execute(
        update(delivery)
        .where(delivery.c.id == late.c.id, delivery.c.status == "sending")
        .values(
            status="pending",
            detail=late.c.detail,
            next_attempt_at=late.c.at,
            attempts=delivery.c.attempts - (0 if tried else 1),
        )
    )


async def next_attempt(work: Work, channel: Channel) -> datetime | None:
    """The wall time at which something of `channel` is due next (long ago: now); None when nothing is."""
    found: datetime | None = await work.scalar(
        select(func.min(func.greatest(delivery.c.next_attempt_at, text("'epoch'::timestamptz")))).where(
            delivery.c.status == "pending", delivery.c.channel == channel
        )
    )
    return found


async def remove_old(work: Work, before: datetime) -> int:
    """Delete at most 5,000 deliveries made before then; how many it were."""
    old = (
        select(delivery.c.id)
        .where(delivery.c.made_at < before)
        .order_by(delivery.c.made_at, delivery.c.id)
        .limit(_CHUNK)
        .cte("old")
    )
    return (await work.execute(delete(delivery).where(delivery.c.id == old.c.id))).rowcount


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deliveries; None is any."""

    influencer_id: UUID | None = None
    campaign_id: UUID | None = None
    kind: str | None = None
    channel: str | None = None
    status: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        same = [
            delivery.c[name] == wanted
            for name in ("influencer_id", "kind", "channel", "status")
            if (wanted := getattr(self, name)) is not None
        ]
        if self.campaign_id is None:
            return same
        return [*same, delivery.c.campaign_ids.contains(literal([self.campaign_id], ARRAY(Uuid)))]


def found(which: Filter) -> Select[Any]:
    return select(delivery).where(*which.conditions())


def counted(which: Filter) -> Select[Any]:
    """channel, status, deliveries."""
    return (
        select(delivery.c.channel, delivery.c.status, func.count().label("deliveries"))
        .where(*which.conditions())
        .group_by(delivery.c.channel, delivery.c.status)
        .order_by(delivery.c.channel, delivery.c.status)
    )


async def finals(work: Work, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """The next `limit` final deliveries by id, locked."""
    return await work.fetch_all(
        select(delivery)
        .where(delivery.c.status.in_(FINAL), delivery.c.id > (after or UUID(int=0)))
        .order_by(delivery.c.id)
        .limit(limit)
        .with_for_update()
    )


def _identity(told: Any) -> ColumnElement[UUID]:
    """The id that follows from what is told, to whom, on which channel: half a SHA-256 of it."""
    identity = func.concat_ws(
        literal_column("'|'"), told.kind, told.subject, told.influencer_id, told.channel, told.occurrence
    )
    digest = func.encode(
        func.sha256(func.convert_to(identity, literal_column("'UTF8'"))), literal_column("'hex'")
    )
    return cast(func.left(digest, 32), Uuid)


def _is_ready(campaign_ids: ColumnElement[Any], contacts: Any) -> ColumnElement[bool]:
    known = exists().where(campaign.c.id == literal_column("wanted.id"), campaign.c.version > 0)
    wanted = func.unnest(campaign_ids).table_valued(column("id", Uuid)).render_derived("wanted")
    return and_(contacts.version > 0, not_(exists(select(1).select_from(wanted).where(not_(known)))))


def _held_back(channel: ColumnElement[str], contacts: Any) -> ColumnElement[str | None]:
    """Why nothing may go out to this contact on `channel`; null when it may."""

    def suppressed(cause: str, address: ColumnElement[str] | None = None) -> ColumnElement[bool]:
        same = suppression.c.address == address if address is not None else literal(value=True)
        return exists().where(suppression.c.influencer_id == contacts.id, suppression.c.cause == cause, same)

    return case(
        (contacts.erased, "erased"),
        (contacts.notifications == "off", "switched_off"),
        (suppressed("unsubscribed"), "unsubscribed"),
        (and_(channel == "email", contacts.email.is_(None)), "no_address"),
        (and_(channel == "email", suppressed("bounced", contacts.email)), "bounced"),
        (and_(channel == "push", _live_push() == text("'[]'::jsonb")), "no_subscription"),
        else_=None,
    )


def _live_push() -> ColumnElement[Any]:
    """The contact's push subscriptions without those that their service called gone."""
    one = func.jsonb_array_elements(contact.c.push).table_valued("value", name="subscription")
    endpoint: ColumnElement[str] = literal_column("subscription.value ->> 'endpoint'")
    gone = exists().where(
        suppression.c.influencer_id == contact.c.id,
        suppression.c.cause == "gone",
        suppression.c.address == endpoint,
    )
    live = select(func.jsonb_agg(one.c.value)).select_from(one).where(not_(gone)).correlate(contact)
    return func.coalesce(live.scalar_subquery(), text("'[]'::jsonb"))


def _verdict(
    ready: ColumnElement[bool], held_back: ColumnElement[str | None], channel: ColumnElement[str]
) -> tuple[ColumnElement[str], ColumnElement[str | None]]:
    """Status and detail of a delivery that nothing was done for yet."""
    status = case(
        (not_(ready), "waiting"),
        (held_back.is_not(None), "suppressed"),
        (channel == "in_app", "sent"),
        else_="pending",
    )
    return status, case((ready, held_back), else_=None)
