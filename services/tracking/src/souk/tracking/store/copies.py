"""What tracking remembers of other services' states, and the locks that order it with tracking's own.

Intake locks a campaign's row exclusively before anything of that campaign; everyone else shares it. So
whoever waits for a fact and whoever brings it never miss each other.
"""

from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any, get_args
from uuid import UUID

from sqlalchemy import ARRAY, Row, Uuid, any_, bindparam, select
from sqlalchemy.dialects.postgresql import insert

from souk.chassis.auth import Principal
from souk.chassis.prepared import Found, Prepared
from souk.chassis.sets import among
from souk.chassis.store import upsert_newer
from souk.chassis.work import Work
from souk.contracts.permissions import Area, Level
from souk.contracts.topics.campaigns import Campaign
from souk.contracts.topics.influencers import Influencer
from souk.contracts.topics.participations import Participation
from souk.contracts.topics.users import User
from souk.tracking.store.sets import insert_absent
from souk.tracking.store.tables import campaign, influencer, member, participation


async def copy_users(work: Work, states: Sequence[User]) -> None:
    """Who is inactive, as all users of an inactive organisation are, may do nothing, whatever their token
    says."""
    rows = [
        {
            "id": s.id,
            "version": s.version,
            "organisation_id": s.organisation_id,
            "levels": {area: int(level) for area, level in s.levels.items()}
            if s.active
            else dict.fromkeys(get_args(Area), int(Level.NONE)),
        }
        for s in states
    ]
    await upsert_newer(work, member, rows)


async def levels_of(work: Work, who: Principal) -> Mapping[Area, Level]:
    """The caller's own levels; empty when there are none.

    Empty too for a subject that is no user of their organisation here, so that the defaults of the role hold:
    deactivating an organisation stops its users, not a token that the issuer gives out for it without one.
    """
    own = (member.c.id == who.user_id, member.c.organisation_id == who.organisation_id)
    levels = await work.scalar(select(member.c.levels).where(*own))
    return {area: Level(level) for area, level in (levels or {}).items()}


async def copy_influencers(work: Work, states: Sequence[Influencer]) -> set[UUID]:
    rows = [
        {"id": s.id, "version": s.version, "talent_agency_id": s.talent_agency_id, "erased": s.erased}
        for s in states
    ]
    return await upsert_newer(work, influencer, rows)


_TERMS = ("type", "multi_posting", "starts_at", "ends_at", "landing_url", "currency", "window_days")
_HOLD = Prepared(
    select(*(campaign.c[name] for name in ("id", "version", *_TERMS)))
    .where(campaign.c.id == any_(bindparam("ids", type_=ARRAY(Uuid))))
    .order_by(campaign.c.id)
    .with_for_update()
)
_terms = attrgetter(*_TERMS)
"""What the posts, links, clicks and conversions that are there already depend on."""


async def copy_campaigns(work: Work, states: Sequence[Campaign]) -> set[UUID]:
    """Hold their rows and write what is newer; the ids of those that have other terms now."""
    before = await hold_campaigns(work, {state.id for state in states})
    rows = [
        {
            "id": s.id,
            "version": s.version,
            "advertiser_id": s.advertiser_id,
            "agency_id": s.agency_id,
            "type": s.type,
            "approved": s.lifecycle == "approved",
            "tracks_posts": s.type == "social" or s.track_posts,
            "multi_posting": s.multi_posting,
            "starts_at": s.starts_at,
            "ends_at": s.ends_at,
            "hashtags": list(s.hashtags),
            "landing_url": s.landing_url or s.product_url,
            "currency": s.currency,
            "window_days": s.window_days,
        }
        for s in states
    ]
    newer = await hold_campaigns(work, await upsert_newer(work, campaign, rows))
    return {name for name, row in newer.items() if _terms(row) != _terms(before[name])}


async def copy_participations(work: Work, states: Sequence[Participation]) -> set[UUID]:
    """The ids of those that were newer; their campaigns' rows must be held."""
    rows = [
        {
            "id": s.id,
            "version": s.version,
            "campaign_id": s.campaign_id,
            "influencer_id": s.influencer_id,
            "state": s.state,
            "account_id": s.account_id,
            "code": s.referral_code.casefold() if s.referral_code else None,
            "withdrawn_at": s.withdrawn_at,
        }
        for s in states
    ]
    return await upsert_newer(work, participation, rows)


async def hold_campaigns(work: Work, ids: Collection[UUID]) -> dict[UUID, Found]:
    """Lock these campaigns' rows exclusively, making placeholders of those that are not known yet.

    A row holds `id`, `version` and the campaign's terms. Two units that hold overlapping campaigns, some of
    them unknown, may deadlock: one of them is done again.
    """
    if not ids:
        return {}
    wanted = {"ids": sorted(ids)}
    rows = await work.run(_HOLD, wanted)
    if len(rows) < len(ids):
        await insert_absent(work, campaign, [{"id": each, "version": 0} for each in wanted["ids"]])
        rows = await work.run(_HOLD, wanted)
    return {row.id: row for row in rows}


async def version_of(work: Work, name: UUID) -> int | None:
    """Of a campaign's copy, without a lock."""
    version: int | None = await work.scalar(select(campaign.c.version).where(campaign.c.id == name))
    return version


async def multi_posting(work: Work, ids: Collection[UUID]) -> dict[UUID, bool]:
    rows = await work.fetch_all(
        select(campaign.c.id, campaign.c.multi_posting).where(among(campaign.c.id, ids))
    )
    return {row.id: row.multi_posting for row in rows}


async def participations(work: Work, ids: Collection[UUID]) -> Sequence[Row[Any]]:
    return await work.fetch_all(select(participation).where(among(participation.c.id, ids)))


async def joined_with(work: Work, accounts: Collection[UUID]) -> Sequence[Row[Any]]:
    """Id and campaign of the joined participations of these accounts, without a lock."""
    return await work.fetch_all(
        select(participation.c.id, participation.c.campaign_id).where(
            among(participation.c.account_id, accounts), participation.c.state == "joined"
        )
    )


async def share_campaigns(work: Work, ids: Collection[UUID]) -> dict[UUID, Row[Any]]:
    """Keep these campaigns as they are until the unit ends."""
    rows = await work.fetch_all(
        select(campaign).where(among(campaign.c.id, ids)).order_by(campaign.c.id).with_for_update(read=True)
    )
    return {row.id: row for row in rows}


async def lock_participations(work: Work, ids: Collection[UUID]) -> dict[UUID, Row[Any]]:
    rows = await work.fetch_all(
        select(participation)
        .where(among(participation.c.id, ids))
        .order_by(participation.c.id)
        .with_for_update(key_share=True)
    )
    return {row.id: row for row in rows}


async def known_influencers(work: Work, ids: Collection[UUID]) -> set[UUID]:
    """Those of them who are known and not erased; kept so until the unit ends."""
    rows = await work.fetch_all(
        select(influencer.c.id)
        .where(among(influencer.c.id, ids), ~influencer.c.erased)
        .order_by(influencer.c.id)
        .with_for_update(read=True)
    )
    return {row.id for row in rows}


async def erased_among(work: Work, ids: Collection[UUID]) -> set[UUID]:
    rows = await work.fetch_all(
        select(influencer.c.id).where(among(influencer.c.id, ids), influencer.c.erased)
    )
    return {row.id for row in rows}


async def expect_influencer(work: Work, who: UUID) -> None:
    """Make a placeholder of an influencer whose state is still on its way."""
    await work.execute(insert(influencer).values(id=who, version=0).on_conflict_do_nothing())
