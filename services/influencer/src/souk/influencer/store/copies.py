"""Read copies of other services' states: only what this service uses, the newest version of each."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args
from uuid import UUID

from sqlalchemy import Row, case, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on, insert

from souk.chassis.auth import Principal
from souk.chassis.sets import among
from souk.chassis.store import upsert_newer
from souk.chassis.work import Work
from souk.contracts.permissions import Area, Level
from souk.contracts.topics.accounts import Account
from souk.contracts.topics.budgets import Budget
from souk.contracts.topics.campaigns import Campaign
from souk.contracts.topics.organisations import Organisation
from souk.contracts.topics.users import User
from souk.influencer.store.tables import (
    account,
    budget,
    campaign,
    influencer,
    organisation,
    reach,
    user_levels,
)

_AREAS: tuple[Area, ...] = get_args(Area)
_MOST_ENGAGEMENT = 2_000_000_000
_COLUMNS = (
    "id", "version", "advertiser_id", "agency_id", "type", "lifecycle", "title", "created_at", "approved_at",
    "start_date", "opens_at", "starts_at", "ends_at", "approval_mode", "visibility", "track_posts",
    "budget_version",
)  # fmt: skip
BRIEF = frozenset(
    {
        "country", "time_zone", "pre_launch_date", "end_date", "category", "multi_posting", "draft_required",
        "hashtags", "product_information", "post_requirements", "product_url", "landing_url", "material_url",
        "thumbnail_url", "sample_urls", "currency", "rates", "cap", "hold_days", "window_days",
    }
)  # fmt: skip
"""What a campaign shows to creators beside the columns; the budget is not among it."""


async def lock_campaigns(work: Work, ids: Collection[UUID]) -> dict[UUID, Row[Any]]:
    """Copies as they are before newer states are kept, locked in the order of their ids."""
    rows = await work.fetch_all(
        select(campaign)
        .where(among(campaign.c.id, ids))
        .order_by(campaign.c.id)
        .with_for_update(key_share=True)
    )
    return {row.id: row for row in rows}


async def keep_campaigns(work: Work, states: Sequence[Campaign]) -> set[UUID]:
    rows = [
        {
            **{name: getattr(state, name) for name in _COLUMNS},
            **{name: list(value) if isinstance(value, tuple) else value for name, value in state.audience},
            "brief": state.model_dump(mode="json", include=set(BRIEF)),
        }
        for state in states
    ]
    return await upsert_newer(work, campaign, rows)


async def keep_accounts(work: Work, states: Sequence[Account]) -> None:
    """Keep the accounts, of influencers not yet known too, and what they make of an influencer's reach."""
    columns = (
        "id", "version", "influencer_id", "platform", "handle", "connection", "followers", "usual_likes",
    )  # fmt: skip
    newer = await upsert_newer(
        work, account, [{name: getattr(state, name) for name in columns} for state in states]
    )
    influencers = {state.influencer_id for state in states if state.id in newer}
    if not influencers:
        return
    await forget_handles(work, influencers)
    largest = (
        select(
            account.c.influencer_id,
            account.c.followers,
            case(
                (
                    account.c.followers > 0,
                    func.least(account.c.usual_likes * 10_000 / account.c.followers, _MOST_ENGAGEMENT),
                )
            ),
        )
        .ext(distinct_on(account.c.influencer_id))
        .where(among(account.c.influencer_id, influencers))
        .order_by(account.c.influencer_id, account.c.followers.desc().nulls_last(), account.c.id)
    )
    statement = insert(reach).from_select(["influencer_id", "followers", "engagement"], largest)
    await work.execute(
        statement.on_conflict_do_update(
            index_elements=[reach.c.influencer_id],
            set_={
                "followers": statement.excluded.followers,
                "engagement": statement.excluded.engagement,
            },
        )
    )


async def forget_handles(work: Work, influencers: Collection[UUID]) -> None:
    """An erased influencer's handles are nowhere, whenever their accounts' states arrive."""
    erased = select(influencer.c.id).where(among(influencer.c.id, influencers), influencer.c.erased)
    await work.execute(update(account).where(account.c.influencer_id.in_(erased)).values(handle=""))


async def keep_budgets(work: Work, states: Sequence[Budget]) -> None:
    rows = [
        {
            "id": state.campaign_id,
            "version": state.version,
            "budget_version": state.budget_version,
            "status": state.status,
        }
        for state in states
    ]
    await upsert_newer(work, budget, rows)


async def keep_organisations(work: Work, states: Sequence[Organisation]) -> None:
    columns = ("id", "version", "kind")
    await upsert_newer(
        work, organisation, [{name: getattr(state, name) for name in columns} for state in states]
    )


async def keep_users(work: Work, states: Sequence[User]) -> None:
    rows = [
        {
            "id": state.id,
            "version": state.version,
            "organisation_id": state.organisation_id,
            "levels": {area: int(level) for area, level in state.levels.items()},
            "active": state.active,
        }
        for state in states
    ]
    await upsert_newer(work, user_levels, rows)


async def levels_of(work: Work, who: Principal) -> Mapping[Area, Level]:
    """The caller's own levels; nothing for one who is inactive, as all of an inactive organisation are.

    Empty for a subject that is no user of their organisation here, so that the defaults of the role hold:
    deactivating an organisation stops its users, not a token that the issuer gives out for it without one.
    """
    own = (user_levels.c.id == who.user_id, user_levels.c.organisation_id == who.organisation_id)
    row = await work.fetch_one(select(user_levels).where(*own))
    if row is None:
        return {}
    if not row.active:
        return dict.fromkeys(_AREAS, Level.NONE)
    return {area: Level(level) for area, level in row.levels.items()}


async def kinds_of(work: Work, ids: Collection[UUID]) -> dict[UUID, str]:
    """Kinds of the organisations that are known already."""
    query = select(organisation.c.id, organisation.c.kind).where(among(organisation.c.id, ids))
    return {row.id: row.kind for row in await work.fetch_all(query)}
