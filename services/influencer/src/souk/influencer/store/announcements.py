"""Who was announced what: recipients in parts, and the parts as the topic keeps them."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Row,
    Table,
    Tuple,
    and_,
    delete,
    distinct,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.topics.announcements import Announcement, Recipient
from souk.influencer.store.campaigns import brief_of
from souk.influencer.store.eligibility import influencers_for
from souk.influencer.store.tables import (
    announcement,
    announcing,
    campaign,
    decision,
    influencer,
    participation,
    recipient,
)

Occasion = Literal["upcoming", "started"]
KEPT = timedelta(days=30)


def available_for(wanted: Row[Any], day: date) -> ColumnElement[bool]:
    """Over `influencer`: matching and not deselected."""
    deselected = exists().where(
        participation.c.campaign_id == wanted.id,
        participation.c.influencer_id == influencer.c.id,
        participation.c.state == "unavailable",
    )
    return and_(influencers_for(brief_of(wanted), day), ~deselected.correlate(influencer))


async def open_new(
    work: Work, occasion: Occasion, subject: str, day: date, campaigns: Sequence[UUID], part_size: int
) -> None:
    """Begin an announcement, decided as of now."""
    await work.execute(
        insert(announcing).values(
            occasion=occasion,
            subject=subject,
            day=day,
            decided_at=work.now,
            campaign_ids=campaigns,
            part_size=part_size,
        )
    )


async def under_way(work: Work, day: date) -> str | None:
    """The subject of the start batch of a Bangkok date that isn't out yet."""
    found = select(announcing.c.subject).where(announcing.c.occasion == "started", announcing.c.day == day)
    subject: str | None = await work.scalar(found)
    return subject


async def lock(work: Work, occasion: Occasion, subject: str) -> Row[Any] | None:
    """The announcement under way; None when it is out."""
    return await work.fetch_one(
        select(announcing)
        .where(announcing.c.occasion == occasion, announcing.c.subject == subject)
        .with_for_update()
    )


async def campaigns_of(work: Work, row: Row[Any]) -> Sequence[Row[Any]]:
    return await work.fetch_all(
        select(campaign).where(among(campaign.c.id, row.campaign_ids)).order_by(campaign.c.id)
    )


async def range_end(work: Work, row: Row[Any], size: int) -> Row[Any] | None:
    """(signed_up_at, id) of the last of the next `size` influencers to decide on; None: fewer are left."""
    return await work.fetch_one(
        select(influencer.c.signed_up_at, influencer.c.id)
        .where(within(row, None))
        .order_by(influencer.c.signed_up_at, influencer.c.id)
        .offset(size - 1)
        .limit(1)
    )


def within(row: Row[Any], end: Row[Any] | None) -> ColumnElement[bool]:
    """Over `influencer`: after those that are decided on, up to `end`, signed up when it was decided.

    By what never changes, so that whoever is renamed meanwhile is neither passed over nor met again.
    """
    place = tuple_(influencer.c.signed_up_at, influencer.c.id)
    bounds = [influencer.c.signed_up_at <= row.decided_at]
    if row.last_id is not None:
        bounds.append(place > _sign_up(row.last_sign_up, row.last_id))
    if end is not None:
        bounds.append(place <= _sign_up(end.signed_up_at, end.id))
    return and_(*bounds)


def _sign_up(at: datetime, influencer_id: UUID) -> Tuple:
    return tuple_(literal(at, influencer.c.signed_up_at.type), literal(influencer_id, influencer.c.id.type))


async def add_recipients(work: Work, row: Row[Any], end: Row[Any] | None) -> None:
    """Number those announced to in the range up to `end`, the first to sign up first, and go on behind it."""
    of = influencer.c
    order = (of.signed_up_at, of.display_name, of.id)
    place = row.recipients + func.row_number().over(order_by=order)
    ids = func.array_agg(aggregate_order_by(decision.c.campaign_id, campaign.c.starts_at, campaign.c.id))
    told = (
        select(literal(row.occasion), literal(row.subject), place, of.id, ids)
        .join_from(decision, influencer, of.id == decision.c.influencer_id)
        .join(campaign, campaign.c.id == decision.c.campaign_id)
        .where(
            among(decision.c.campaign_id, row.campaign_ids),
            decision.c.effect == "announced",
            decision.c.decided_at == row.decided_at,
            within(row, end),
        )
        .group_by(of.id)
    )
    added = await work.execute(insert(recipient).from_select([column.name for column in recipient.c], told))
    moved: dict[str, Any] = {"recipients": row.recipients + added.rowcount, "is_decided": end is None}
    if end is not None:
        moved |= {"last_sign_up": end.signed_up_at, "last_id": end.id}
    await work.execute(update(announcing).where(_is(row, announcing)).values(**moved))


async def take_recipients(work: Work, row: Row[Any], up_to: int) -> list[Row[Any]]:
    """Those up to a place whose parts aren't out yet, in their order; they are in no other part."""
    taken = await work.fetch_all(
        delete(recipient).where(_is(row, recipient), recipient.c.place <= up_to).returning(recipient)
    )
    return sorted(taken, key=lambda one: one.place)


async def progress(work: Work, row: Row[Any], published: int, *, is_out: bool) -> None:
    if is_out:
        await work.execute(delete(announcing).where(_is(row, announcing)))
    else:
        await work.execute(update(announcing).where(_is(row, announcing)).values(published=published))


def _is(row: Row[Any], table: Table) -> ColumnElement[bool]:
    return and_(table.c.occasion == row.occasion, table.c.subject == row.subject)


async def made_for(work: Work, day: date) -> int:
    """How many start batches were made for a Bangkok date."""
    subjects = select(func.count(distinct(announcement.c.subject)))
    return int(
        await work.scalar(subjects.where(announcement.c.occasion == "started", announcement.c.day == day))
    )


async def keep(work: Work, subject: str, parts: Sequence[Announcement]) -> None:
    if not parts:
        return
    rows = [
        {
            "id": one.id,
            "changed_at": one.changed_at,
            "occasion": one.occasion,
            "subject": subject,
            "day": one.day,
            "part": one.part,
            "parts": one.parts,
            "recipients": [told.model_dump(mode="json") for told in one.recipients],
        }
        for one in parts
    ]
    await work.execute(insert(announcement).values(rows))


async def drop_old(work: Work, now: datetime) -> None:
    await work.execute(delete(announcement).where(announcement.c.changed_at < now - KEPT))


async def starting(work: Work, day: date, before: datetime) -> Sequence[Row[Any]]:
    """Campaigns that start on `day`, were approved before `before` and are in no batch yet; locked."""
    return await work.fetch_all(
        select(campaign).where(_starts(day, before)).order_by(campaign.c.id).with_for_update(key_share=True)
    )


async def is_left(work: Work, day: date, before: datetime) -> bool:
    """Whether a start batch of `day` is under way, or campaigns are in none yet. Locks nothing."""
    batches = exists().where(announcing.c.occasion == "started", announcing.c.day == day)
    return bool(await work.scalar(select(or_(batches, exists().where(_starts(day, before))))))


def _starts(day: date, before: datetime) -> ColumnElement[bool]:
    return and_(
        campaign.c.lifecycle == "approved",
        campaign.c.start_date == day,
        campaign.c.approved_at < before,
        campaign.c.started_announced_at.is_(None),
    )


async def lock_campaign(work: Work, campaign_id: UUID) -> Row[Any] | None:
    return await work.fetch_one(
        select(campaign).where(campaign.c.id == campaign_id).with_for_update(key_share=True)
    )


async def mark(work: Work, ids: Collection[UUID], **moments: datetime) -> None:
    """moments: `based_at`, `upcoming_announced_at` or `started_announced_at`."""
    await work.execute(update(campaign).where(among(campaign.c.id, ids)).values(**moments))


async def after(work: Work, after_id: UUID | None, limit: int) -> list[Announcement]:
    query = select(announcement).order_by(announcement.c.id).limit(limit).with_for_update()
    rows = await work.fetch_all(query if after_id is None else query.where(announcement.c.id > after_id))
    return [
        Announcement(
            id=row.id,
            version=1,
            changed_at=row.changed_at,
            occasion=row.occasion,
            day=row.day,
            part=row.part,
            parts=row.parts,
            recipients=tuple(
                Recipient(influencer_id=r["influencer_id"], campaign_ids=tuple(r["campaign_ids"]))
                for r in row.recipients
            ),
        )
        for row in rows
    ]
