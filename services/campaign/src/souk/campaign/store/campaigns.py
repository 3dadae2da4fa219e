"""Campaigns: who may see them, their status in SQL, how they are locked and written."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, case, false, insert, select, true, update

from souk.campaign.domain.brief import FIELDS, Brief
from souk.campaign.domain.period import period_of
from souk.campaign.domain.status import Judgement, Status, status_of
from souk.campaign.store.tables import budget, campaign
from souk.chassis.auth import Principal
from souk.chassis.problems import Refused
from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.ids import OrganisationId
from souk.contracts.reasons import Reason
from souk.contracts.topics.campaigns import Audience, Campaign, CampaignType, Rates
from souk.contracts.topics.terms import Terms


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list is narrowed to; None is not narrowed. keyword: a part of the title, in any case."""

    status: Status | None = None
    type: CampaignType | None = None
    advertiser_id: UUID | None = None
    keyword: str | None = None


def visible_to(who: Principal) -> ColumnElement[bool]:
    """Staff see all, an advertiser its own, an agency those it works for.

    Influencers and talent agencies see none here: what they may see hangs on eligibility and
    selection, which the influencer service knows.
    """
    if who.role == "staff":
        return true()
    if who.role == "advertiser":
        return campaign.c.advertiser_id == who.organisation_id
    if who.role == "agency":
        return campaign.c.agency_id == who.organisation_id
    return false()


def status_at(now: datetime) -> ColumnElement[str]:
    """`domain.status.status_of` in SQL, on `campaign` joined with `budget`."""
    exhausted = and_(budget.c.exhausted, budget.c.budget_version >= campaign.c.budget_version)
    return case(
        (campaign.c.approved_at.is_(None), "draft"),
        (campaign.c.ends_at <= now, "finished"),
        (exhausted, "over_budget"),
        (campaign.c.starts_at <= now, "ongoing"),
        else_="upcoming",
    )


def seen_by(who: Principal, narrowed: Filter, now: datetime) -> Select[Any]:
    query = _judged().where(visible_to(who))
    if narrowed.status is not None:
        query = query.where(status_at(now) == narrowed.status)
    if narrowed.type is not None:
        query = query.where(campaign.c.type == narrowed.type)
    if narrowed.advertiser_id is not None:
        query = query.where(campaign.c.advertiser_id == narrowed.advertiser_id)
    if narrowed.keyword is not None:
        query = query.where(campaign.c.title.icontains(narrowed.keyword, autoescape=True))
    return query


async def find(work: Work, campaign_id: UUID, who: Principal) -> Row[Any]:
    """With billing's judgement. Raises Refused(unknown_campaign)."""
    return _known(await work.fetch_one(_judged().where(campaign.c.id == campaign_id, visible_to(who))))


async def lock(work: Work, campaign_id: UUID, who: Principal) -> Row[Any]:
    """For an edit. Raises Refused(unknown_campaign)."""
    statement = _judged().where(campaign.c.id == campaign_id, visible_to(who))
    return _known(await work.fetch_one(statement.with_for_update(of=campaign)))


async def add(work: Work, brief: Brief, agency_id: OrganisationId | None) -> Row[Any]:
    """Insert a draft at version 1."""
    new = work.new_id()
    await work.execute(
        insert(campaign).values(
            id=new,
            version=1,
            created_at=work.now,
            changed_at=work.now,
            terms_version=1,
            terms_changed_at=work.now,
            budget_version=0,
            agency_id=agency_id,
            **_columns(brief, None),
        )
    )
    return await _written(work, new)


async def change(work: Work, row: Row[Any], brief: Brief, *, terms_changed: bool, **values: Any) -> Row[Any]:
    """Write `brief` and `values` to the locked row, at the next version."""
    columns = _columns(brief, values.get("approved_at", row.approved_at)) | values
    if terms_changed:
        columns |= {"terms_version": row.terms_version + 1, "terms_changed_at": work.now}
    await work.execute(
        update(campaign)
        .where(campaign.c.id == row.id)
        .values(version=row.version + 1, changed_at=work.now, **columns)
    )
    return await _written(work, row.id)


async def move_drafts(work: Work, advertiser_id: UUID, agency_id: UUID | None) -> list[Row[Any]]:
    """Give the advertiser's drafts their new agency, without the old one's margin; the rows by id."""
    drafts = (
        select(campaign.c.id)
        .where(campaign.c.advertiser_id == advertiser_id, campaign.c.approved_at.is_(None))
        .order_by(campaign.c.id)
        .with_for_update()
    )
    ids = [row.id for row in await work.fetch_all(drafts)]
    await work.execute(
        update(campaign)
        .where(among(campaign.c.id, ids))
        .values(
            version=campaign.c.version + 1,
            changed_at=work.now,
            terms_version=campaign.c.terms_version + 1,
            terms_changed_at=work.now,
            agency_id=agency_id,
            agency_margin=0,
        )
    )
    return list(await work.fetch_all(_judged().where(among(campaign.c.id, ids)).order_by(campaign.c.id)))


async def after(work: Work, after_id: UUID | None, limit: int) -> list[Campaign]:
    """The next campaigns by id, locked, to be published again."""
    return [campaign_state(row) for row in await _after(work, after_id, limit)]


async def terms_after(work: Work, after_id: UUID | None, limit: int) -> list[Terms]:
    return [terms_state(row) for row in await _after(work, after_id, limit)]


async def _after(work: Work, after_id: UUID | None, limit: int) -> list[Row[Any]]:
    statement = select(campaign).order_by(campaign.c.id).limit(limit).with_for_update()
    if after_id is not None:
        statement = statement.where(campaign.c.id > after_id)
    return list(await work.fetch_all(statement))


def brief_of(row: Row[Any]) -> Brief:
    values = {name: getattr(row, name) for name in FIELDS}
    values["audience"] = Audience.model_validate(row.audience)
    values["rates"] = Rates.model_validate(row.rates)
    values["hashtags"] = tuple(row.hashtags)
    values["sample_urls"] = tuple(row.sample_urls)
    return Brief(**values)


def status_of_row(row: Row[Any], now: datetime) -> Status:
    """Of a row that `find`, `lock` or `seen_by` gave."""
    judged = None
    if row.judged_version is not None:
        judged = Judgement(row.judged_version, row.judged_exhausted)
    return status_of(
        approved_at=row.approved_at,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        budget_version=row.budget_version,
        judgement=judged,
        now=now,
    )


_PUBLIC = tuple(name for name in Campaign.model_fields if name in campaign.c and name in FIELDS)


def campaign_state(row: Row[Any]) -> Campaign:
    """What everyone may know: no margins, no persons in charge."""
    brief = brief_of(row)
    values = {name: getattr(brief, name) for name in _PUBLIC}
    values |= {"track_posts": brief.tracks_posts, "time_zone": brief.zone}
    return Campaign(
        id=row.id,
        version=row.version,
        changed_at=row.changed_at,
        created_at=row.created_at,
        approved_at=row.approved_at,
        lifecycle="draft" if row.approved_at is None else "approved",
        agency_id=row.agency_id,
        opens_at=row.opens_at,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        budget_version=row.budget_version,
        terms_version=row.terms_version,
        **values,
    )


def terms_state(row: Row[Any]) -> Terms:
    return Terms(
        id=row.id,
        version=row.terms_version,
        changed_at=row.terms_changed_at,
        agency_id=row.agency_id,
        margin=row.margin,
        agency_margin=row.agency_margin,
    )


def _judged() -> Select[Any]:
    return select(
        campaign,
        budget.c.budget_version.label("judged_version"),
        budget.c.exhausted.label("judged_exhausted"),
    ).outerjoin_from(campaign, budget, budget.c.id == campaign.c.id)


async def _written(work: Work, campaign_id: UUID) -> Row[Any]:
    return _known(await work.fetch_one(_judged().where(campaign.c.id == campaign_id)))


def _columns(brief: Brief, approved_at: datetime | None) -> dict[str, Any]:
    period = period_of(brief, approved_at)
    columns = {name: getattr(brief, name) for name in FIELDS}
    columns["audience"] = brief.audience.model_dump(mode="json")
    columns["rates"] = brief.rates.model_dump(mode="json")
    return columns | {
        "opens_at": period.opens_at,
        "starts_at": period.starts_at,
        "ends_at": period.ends_at,
    }


def _known(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise Refused(Reason.UNKNOWN_CAMPAIGN)
    return row
