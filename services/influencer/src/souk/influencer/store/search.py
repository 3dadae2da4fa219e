"""What lists of influencers can be filtered and sorted by (domain.md §3, selection)."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Date,
    Integer,
    Select,
    Text,
    Uuid,
    exists,
    func,
    literal,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.types import TypeEngine

from souk.contracts.topics.campaigns import Gender, Platform
from souk.influencer.store.eligibility import aged
from souk.influencer.store.tables import account, influencer, reach

Sort = Literal["signed_up_at", "display_name", "talent_agency", "gender", "age", "followers", "engagement"]


def _inline(value: object, kind: type[TypeEngine[Any]]) -> ColumnElement[Any]:
    """A value that is part of the statement: an index on the expression isn't found for a parameter."""
    return literal(value, kind, literal_execute=True)


SORTS: dict[Sort, ColumnElement[Any]] = {
    "signed_up_at": influencer.c.signed_up_at,
    "display_name": influencer.c.display_name,
    "talent_agency": func.coalesce(influencer.c.talent_agency_id, _inline(UUID(int=0), Uuid)),
    "gender": func.coalesce(influencer.c.gender, _inline("", Text)),
    "age": func.coalesce(
        type_coerce(_inline(date(3000, 1, 1), Date) - influencer.c.birth_date, Integer), _inline(-1, Integer)
    ),
    "followers": func.coalesce(reach.c.followers, -1),
    "engagement": func.coalesce(reach.c.engagement, -1),
}
"""Never null, so that a cursor can stand on them; a missing value sorts lowest."""


@dataclass(frozen=True, slots=True)
class Search:
    """engagement: usual likes per 10,000 followers of the largest account."""

    keyword: str | None = None
    category: str | None = None
    talent_agency_id: UUID | None = None
    country: str | None = None
    region: str | None = None
    gender: Gender | None = None
    platform: Platform | None = None
    age_min: int | None = None
    age_max: int | None = None
    followers_min: int | None = None
    followers_max: int | None = None
    engagement_min: int | None = None
    engagement_max: int | None = None


def found(search: Search, day: date) -> Select[Any]:
    """Influencers with their reach. day: on which ages are taken."""
    query = select(influencer, reach.c.followers, reach.c.engagement).outerjoin_from(
        influencer, reach, reach.c.influencer_id == influencer.c.id
    )
    query = query.where(influencer.c.erased.is_(False), *aged(search.age_min, search.age_max, day))
    equal = {
        influencer.c.talent_agency_id: search.talent_agency_id,
        influencer.c.country: search.country,
        influencer.c.region: search.region,
        influencer.c.gender: search.gender,
    }
    query = query.where(*(column == value for column, value in equal.items() if value is not None))
    if search.category is not None:
        query = query.where(influencer.c.categories.contains([search.category]))
    for column, least, most in (
        (reach.c.followers, search.followers_min, search.followers_max),
        (reach.c.engagement, search.engagement_min, search.engagement_max),
    ):
        if least is not None:
            query = query.where(column >= least)
        if most is not None:
            query = query.where(column <= most)
    own_account = account.c.influencer_id == influencer.c.id
    if search.platform is not None:
        query = query.where(exists().where(own_account, account.c.platform == search.platform))
    if search.keyword:
        query = query.where(
            or_(
                influencer.c.display_name.icontains(search.keyword, autoescape=True),
                influencer.c.tags.contains([search.keyword]),
                exists().where(own_account, account.c.handle.icontains(search.keyword, autoescape=True)),
            )
        )
    return query
