"""Who was announced what: recipients in parts, and the parts as the topic keeps them."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, delete, distinct, exists, func, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from souk.chassis.work import Work
from souk.contracts.topics.announcements import Announcement, Recipient
from souk.influencer.store.campaigns import brief_of
from souk.influencer.store.eligibility import influencers_for
from souk.influencer.store.tables import announcement, campaign, decision, influencer, participation

KEPT = timedelta(days=30)


def available_for(wanted: Row[Any], day: date) -> ColumnElement[bool]:
    """Over `influencer`: matching and not deselected."""
    deselected = exists().where(
        participation.c.campaign_id == wanted.id,
        participation.c.influencer_id == influencer.c.id,
        participation.c.state == "unavailable",
    )
    return and_(influencers_for(brief_of(wanted), day), ~deselected.correlate(influencer))


async def recipients(work: Work, campaigns: Collection[UUID], decided_at: datetime) -> Sequence[Row[Any]]:
    """(influencer_id, campaign_ids) of those announced to at `decided_at`, the first to sign up first."""
    ids = func.array_agg(aggregate_order_by(decision.c.campaign_id, campaign.c.starts_at, campaign.c.id))
    return await work.fetch_all(
        select(influencer.c.id.label("influencer_id"), ids.label("campaign_ids"))
        .join_from(decision, influencer, influencer.c.id == decision.c.influencer_id)
        .join(campaign, campaign.c.id == decision.c.campaign_id)
        .where(
            decision.c.campaign_id.in_(campaigns),
            decision.c.effect == "announced",
            decision.c.decided_at == decided_at,
        )
        .group_by(influencer.c.id)
        .order_by(influencer.c.signed_up_at, influencer.c.display_name, influencer.c.id)
    )


async def made_for(work: Work, day: date) -> int:
    """How many start batches were made for a Bangkok date."""
    subjects = select(func.count(distinct(announcement.c.subject)))
    return int(
        await work.scalar(subjects.where(announcement.c.occasion == "started", announcement.c.day == day))
    )


async def keep(work: Work, subject: str, one: Announcement) -> None:
    await work.execute(
        insert(announcement).values(
            id=one.id,
            changed_at=one.changed_at,
            occasion=one.occasion,
            subject=subject,
            day=one.day,
            part=one.part,
            parts=one.parts,
            recipients=[recipient.model_dump(mode="json") for recipient in one.recipients],
        )
    )


async def drop_old(work: Work, now: datetime) -> None:
    await work.execute(delete(announcement).where(announcement.c.changed_at < now - KEPT))


async def starting(work: Work, day: date, before: datetime) -> Sequence[Row[Any]]:
    """Campaigns that start on `day`, were approved before `before` and are in no batch yet; locked."""
    return await work.fetch_all(
        select(campaign)
        .where(
            campaign.c.lifecycle == "approved",
            campaign.c.start_date == day,
            campaign.c.approved_at < before,
            campaign.c.started_announced_at.is_(None),
        )
        .order_by(campaign.c.id)
        .with_for_update(key_share=True)
    )


async def lock_campaign(work: Work, campaign_id: UUID) -> Row[Any] | None:
    return await work.fetch_one(
        select(campaign).where(campaign.c.id == campaign_id).with_for_update(key_share=True)
    )


async def mark(work: Work, ids: Collection[UUID], **moments: datetime) -> None:
    """moments: `based_at`, `upcoming_announced_at` or `started_announced_at`."""
    await work.execute(update(campaign).where(campaign.c.id.in_(ids)).values(**moments))


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
