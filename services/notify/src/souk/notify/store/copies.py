"""Read copies of other services' states, and the locks that let facts arrive in any order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, get_args
from uuid import UUID

from sqlalchemy import ARRAY, Table, Uuid, bindparam, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from souk.chassis.auth import Principal
from souk.chassis.sets import among
from souk.chassis.store import upsert_newer
from souk.chassis.work import Work
from souk.contracts.permissions import Area, Level
from souk.contracts.reasons import Locale
from souk.contracts.topics.campaigns import Campaign
from souk.contracts.topics.contacts import Contact
from souk.contracts.topics.influencers import Influencer
from souk.contracts.topics.participations import Participation
from souk.contracts.topics.payments import Payment
from souk.contracts.topics.posts import Post
from souk.contracts.topics.users import User
from souk.notify.domain.changes import Known
from souk.notify.store.tables import (
    campaign,
    contact,
    influencer,
    participation,
    payment,
    post,
    user_level,
)


async def lock_contacts(work: Work, influencers: Iterable[UUID]) -> None:
    """Hold these contacts as they are until the unit ends; unknown ones get a placeholder first.

    Before `lock_campaigns`, in every unit: influencer, then campaign.
    """
    await _hold(work, contact, influencers)


async def lock_campaigns(work: Work, campaigns: Iterable[UUID]) -> None:
    """Hold these campaigns as they are until the unit ends; unknown ones get a placeholder first."""
    await _hold(work, campaign, campaigns)


async def _hold(work: Work, table: Table, ids: Iterable[UUID]) -> None:
    ordered = sorted(set(ids))
    if not ordered:
        return
    wanted = bindparam("ids", ordered, type_=ARRAY(Uuid))
    await work.execute(
        insert(table)
        .from_select(["id", "version"], select(func.unnest(wanted), literal(0)))
        .on_conflict_do_nothing()
    )
    await work.execute(
        select(table.c.id).where(among(table.c.id, ordered)).order_by(table.c.id).with_for_update(read=True)
    )


async def lock_campaign(work: Work, campaign_id: UUID) -> Any:
    """The campaign's row, locked against everyone who holds it; a placeholder when it isn't known."""
    await work.execute(insert(campaign).values(id=campaign_id, version=0).on_conflict_do_nothing())
    return await work.fetch_one(select(campaign).where(campaign.c.id == campaign_id).with_for_update())


async def known(work: Work, table: Table, status: str, ids: Iterable[UUID]) -> dict[UUID, Known[Any]]:
    """Version and the column `status` of those of `ids` that are known."""
    rows = await work.fetch_all(
        select(table.c.id, table.c.version, table.c[status].label("status")).where(
            among(table.c.id, set(ids)), table.c.version > 0
        )
    )
    return {row.id: Known(row.version, row.status) for row in rows}


async def store_contacts(work: Work, states: Sequence[Contact]) -> set[UUID]:
    return await upsert_newer(
        work,
        contact,
        [
            {
                "id": state.id,
                "version": state.version,
                "email": None if state.erased else state.email,
                "locale": state.locale,
                "notifications": state.notifications,
                "push": [] if state.erased else [one.model_dump() for one in state.push],
                "erased": state.erased,
            }
            for state in states
        ],
    )


async def store_influencers(work: Work, states: Sequence[Influencer]) -> set[UUID]:
    return await upsert_newer(
        work,
        influencer,
        [
            {
                "id": state.id,
                "version": state.version,
                "display_name": "" if state.erased else state.display_name,
            }
            for state in states
        ],
    )


async def store_campaigns(work: Work, states: Sequence[Campaign]) -> set[UUID]:
    return await upsert_newer(
        work,
        campaign,
        [
            {
                "id": state.id,
                "version": state.version,
                "title": state.title,
                "approved": state.lifecycle == "approved",
                "start_date": state.start_date,
                "end_date": state.end_date,
                "ends_at": state.ends_at,
                "budget_version": state.budget_version,
            }
            for state in states
        ],
    )


async def store_participations(work: Work, states: Sequence[Participation]) -> set[UUID]:
    return await upsert_newer(
        work,
        participation,
        [
            {
                "id": state.id,
                "version": state.version,
                "campaign_id": state.campaign_id,
                "influencer_id": state.influencer_id,
                "joined_at": state.joined_at,
                "withdrawn_at": state.withdrawn_at,
            }
            for state in states
        ],
    )


async def store_posts(work: Work, states: Sequence[Post]) -> set[UUID]:
    return await upsert_newer(
        work,
        post,
        [
            {"id": state.id, "version": state.version, "status": state.status, "title": state.title}
            for state in states
        ],
    )


async def store_payments(work: Work, states: Sequence[Payment]) -> set[UUID]:
    return await upsert_newer(
        work,
        payment,
        [
            {
                "id": state.id,
                "version": state.version,
                "status": state.status,
                "net": state.net,
                "currency": state.currency,
            }
            for state in states
        ],
    )


async def store_users(work: Work, states: Sequence[User]) -> set[UUID]:
    """Who is inactive, as all users of an inactive organisation are, has no level anywhere."""
    return await upsert_newer(
        work,
        user_level,
        [
            {
                "id": state.id,
                "version": state.version,
                "organisation_id": state.organisation_id,
                "levels": dict(state.levels) if state.active else dict.fromkeys(get_args(Area), Level.NONE),
            }
            for state in states
        ],
    )


async def levels_of(work: Work, who: Principal) -> Mapping[Area, Level]:
    """The caller's own levels; empty when there are none.

    Empty too for a subject that is no user of their organisation here, so that the defaults of the role hold:
    deactivating an organisation stops its users, not a token that the issuer gives out for it without one.
    """
    own = (user_level.c.id == who.user_id, user_level.c.organisation_id == who.organisation_id)
    levels = await work.scalar(select(user_level.c.levels).where(*own))
    return {area: Level(level) for area, level in (levels or {}).items()}


@dataclass(frozen=True, slots=True)
class CampaignFacts:
    title: str
    start_date: date | None
    end_date: date | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the texts of some deliveries speak of, by id; what isn't known is missing."""

    campaigns: Mapping[UUID, CampaignFacts]
    posts: Mapping[UUID, str]
    payments: Mapping[UUID, tuple[int, str]]
    names: Mapping[UUID, str]


async def facts_of(work: Work, rows: Sequence[Any]) -> Facts:
    """rows: deliveries."""

    async def found(table: Table, ids: set[UUID]) -> Sequence[Any]:
        if not ids:
            return []
        return await work.fetch_all(select(table).where(among(table.c.id, ids), table.c.version > 0))

    def subjects(area: str) -> set[UUID]:
        return {one for row in rows if row.kind.startswith(area) for one in row.subject_ids}

    return Facts(
        campaigns={
            row.id: CampaignFacts(row.title, row.start_date, row.end_date)
            for row in await found(campaign, {one for row in rows for one in row.campaign_ids})
        },
        posts={row.id: row.title for row in await found(post, subjects("post."))},
        payments={row.id: (row.net, row.currency) for row in await found(payment, subjects("payment."))},
        names={
            row.id: row.display_name for row in await found(influencer, {row.influencer_id for row in rows})
        },
    )


async def locale_of(work: Work, influencer_id: UUID) -> Locale:
    """The influencer's own locale; English while the contact isn't known."""
    found: Locale | None = await work.scalar(
        select(contact.c.locale).where(contact.c.id == influencer_id, contact.c.version > 0)
    )
    return found or "en"
