"""Participations: found, locked and saved in sets."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, fields
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, select

from souk.chassis.auth import Principal
from souk.chassis.sets import among
from souk.chassis.store import upsert_newer
from souk.chassis.work import Work
from souk.contracts.ids import CampaignId, InfluencerId, ParticipationId
from souk.contracts.topics import participations as topic
from souk.contracts.topics.participations import ParticipationState
from souk.influencer.domain.participation import Participation
from souk.influencer.store.tables import participation
from souk.influencer.store.tenants import own_participations

_FIELDS = tuple(field.name for field in fields(Participation))
_PUBLISHED = tuple(topic.Participation.model_fields)


def of_row(row: Row[Any]) -> Participation:
    return Participation(**{name: getattr(row, name) for name in _FIELDS})


async def find(work: Work, participation_id: UUID, who: Principal) -> Participation | None:
    row = await work.fetch_one(
        select(participation).where(participation.c.id == participation_id, own_participations(who))
    )
    return None if row is None else of_row(row)


def listed(
    who: Principal,
    campaign_id: UUID | None,
    influencer_id: UUID | None,
    state: ParticipationState | None,
) -> Select[Any]:
    query = select(participation).where(own_participations(who))
    equal = {
        participation.c.campaign_id: campaign_id,
        participation.c.influencer_id: influencer_id,
        participation.c.state: state,
    }
    return query.where(*(column == value for column, value in equal.items() if value is not None))


async def ids_in_state(
    work: Work, campaign_id: UUID, state: ParticipationState, limit: int, who: Principal
) -> list[ParticipationId]:
    """The longest waiting first."""
    rows = await work.fetch_all(
        listed(who, campaign_id, None, state)
        .order_by(participation.c.applied_at, participation.c.id)
        .limit(limit)
    )
    return [ParticipationId(row.id) for row in rows]


async def find_many(
    work: Work, ids: Collection[ParticipationId], who: Principal
) -> dict[ParticipationId, Participation]:
    """Without a lock: to learn whose they are."""
    rows = await work.fetch_all(
        select(participation).where(among(participation.c.id, ids), own_participations(who))
    )
    return {ParticipationId(row.id): of_row(row) for row in rows}


async def lock_many(work: Work, ids: Collection[ParticipationId]) -> dict[ParticipationId, Participation]:
    """Locked in the order of their ids; their influencers are locked before."""
    rows = await work.fetch_all(
        select(participation)
        .where(among(participation.c.id, ids))
        .order_by(participation.c.id)
        .with_for_update()
    )
    return {ParticipationId(row.id): of_row(row) for row in rows}


async def lock_of(
    work: Work, campaign_id: CampaignId, influencers: Collection[InfluencerId]
) -> dict[InfluencerId, Participation]:
    """Those that exist, by influencer; the influencers are locked, so no other can come into being."""
    rows = await work.fetch_all(
        select(participation)
        .where(participation.c.campaign_id == campaign_id, among(participation.c.influencer_id, influencers))
        .order_by(participation.c.id)
        .with_for_update()
    )
    return {InfluencerId(row.influencer_id): of_row(row) for row in rows}


async def lock_codeless(work: Work, campaign_id: CampaignId, most: int) -> list[Participation]:
    """At most `most` who joined without a code, the first to join first; not those that others hold now."""
    rows = await work.fetch_all(
        select(participation)
        .where(
            participation.c.campaign_id == campaign_id,
            participation.c.state == "joined",
            participation.c.referral_code.is_(None),
        )
        .order_by(participation.c.joined_at, participation.c.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    return [of_row(row) for row in rows]


async def acted_by(work: Work, influencer_id: UUID) -> list[Participation]:
    """All of one influencer, locked."""
    rows = await work.fetch_all(
        select(participation)
        .where(participation.c.influencer_id == influencer_id)
        .order_by(participation.c.id)
        .with_for_update()
    )
    return [of_row(row) for row in rows]


async def save(work: Work, changed: Sequence[Participation]) -> None:
    await upsert_newer(work, participation, [asdict(one) for one in changed])


def state_of(one: Participation) -> topic.Participation:
    return topic.Participation(**{name: getattr(one, name) for name in _PUBLISHED})


async def after(work: Work, after_id: UUID | None, limit: int) -> list[topic.Participation]:
    query = select(participation).order_by(participation.c.id).limit(limit).with_for_update()
    rows = await work.fetch_all(query if after_id is None else query.where(participation.c.id > after_id))
    return [state_of(of_row(row)) for row in rows]
