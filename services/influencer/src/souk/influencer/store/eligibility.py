"""The rule of `domain/eligibility.py` as SQL, both ways; a property test holds them together.

One side is always known when the statement is built, so its filters are constants: what isn't set costs
nothing, and what is set can use the index of its column.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Text,
    and_,
    any_,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
)

from souk.chassis.sets import among
from souk.influencer.domain.eligibility import DEFAULT_CONNECTIONS, Brief, Profile, age_on, asks_for_account
from souk.influencer.store.tables import account, campaign, influencer


def influencers_for(brief: Brief, day: date) -> ColumnElement[bool]:
    """Over `influencer`: who may take part in `brief` on the UTC day `day`."""
    audience = brief.audience
    rules: list[ColumnElement[bool]] = [influencer.c.erased.is_(False)]
    if brief.visibility == "closed":
        rules.append(influencer.c.signed_up_at <= brief.created_at)
    if audience.regions:
        rules.append(among(influencer.c.region, audience.regions))
    if audience.categories:
        rules.append(influencer.c.categories.overlap(_texts(audience.categories)))
    if audience.genders:
        rules.append(among(influencer.c.gender, audience.genders))
    rules += aged(audience.age_min, audience.age_max, day)
    if asks_for_account(audience):
        matches = [
            account.c.influencer_id == influencer.c.id,
            among(account.c.connection, audience.connections or DEFAULT_CONNECTIONS),
        ]
        if audience.platforms:
            matches.append(among(account.c.platform, audience.platforms))
        if audience.followers_min is not None:
            matches.append(account.c.followers >= audience.followers_min)
        if audience.followers_max is not None:
            matches.append(account.c.followers <= audience.followers_max)
        rules.append(exists().where(*matches).correlate(influencer))
    return and_(*rules)


def aged(least: int | None, most: int | None, day: date) -> list[ColumnElement[bool]]:
    """Over `influencer`: full years on `day` within the bounds that are set, as bounds of the birth date."""
    rules: list[ColumnElement[bool]] = []
    if least is not None:
        rules.append(influencer.c.birth_date <= _years_before(day, least))
    if most is not None:
        rules.append(influencer.c.birth_date > _years_before(day, most + 1))
    return rules


def campaigns_for(influencer_id: UUID, profile: Profile, day: date) -> ColumnElement[bool]:
    """Over `campaign`: which of them `profile` may take part in on the UTC day `day`."""
    audience = campaign.c
    age = None if profile.birth_date is None else age_on(profile.birth_date, day)
    asks = or_(
        _is_set(audience.platforms),
        _is_set(audience.connections),
        audience.followers_min.is_not(None),
        audience.followers_max.is_not(None),
    )
    connections = case(
        (_is_set(audience.connections), audience.connections), else_=_texts(DEFAULT_CONNECTIONS)
    )
    has_account = exists().where(
        account.c.influencer_id == influencer_id,
        or_(~_is_set(audience.platforms), account.c.platform == any_(audience.platforms)),
        account.c.connection == any_(connections),
        _within(account.c.followers, audience.followers_min, audience.followers_max),
    )
    return and_(
        or_(audience.visibility == "normal", audience.created_at >= profile.signed_up_at),
        or_(~_is_set(audience.regions), _among(profile.region, audience.regions)),
        or_(~_is_set(audience.categories), audience.categories.overlap(_texts(profile.categories))),
        or_(~_is_set(audience.genders), _among(profile.gender, audience.genders)),
        _within(literal(age, BigInteger), audience.age_min, audience.age_max),
        or_(~asks, has_account.correlate(campaign)),
    )


def _texts(values: Sequence[str]) -> ColumnElement[Any]:
    return cast(list(values), ARRAY(Text))


def _is_set(filters: ColumnElement[Any]) -> ColumnElement[bool]:
    return func.cardinality(filters) > 0


def _among(value: str | None, allowed: ColumnElement[Any]) -> ColumnElement[bool]:
    return func.coalesce(literal(value, Text) == any_(allowed), False)


def _within(
    value: ColumnElement[Any], least: ColumnElement[Any], most: ColumnElement[Any]
) -> ColumnElement[bool]:
    """Inclusive; a missing value is within no bound that is set, but within none at all."""
    return and_(
        func.coalesce(or_(least.is_(None), value >= least), False),
        func.coalesce(or_(most.is_(None), value <= most), False),
    )


def _years_before(day: date, years: int) -> date:
    """The same day `years` earlier, 28 February where there is no 29th; the first day of all at the end."""
    if years >= day.year:
        return date.min
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return day.replace(year=day.year - years, day=28)
