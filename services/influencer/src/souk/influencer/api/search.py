"""Query parameters of lists of influencers."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query

from souk.contracts.topics.campaigns import Gender, Platform
from souk.influencer.api.fields import Age, Bound, Country, Ratio, Word
from souk.influencer.store.search import Search


async def _search(
    keyword: Annotated[Word | None, Query(description="part of a name or handle, or a tag")] = None,
    category: Word | None = None,
    talent_agency_id: UUID | None = None,
    country: Country | None = None,
    region: Word | None = None,
    gender: Gender | None = None,
    platform: Platform | None = None,
    age_min: Age | None = None,
    age_max: Age | None = None,
    followers_min: Annotated[Bound | None, Query(description="of the largest account")] = None,
    followers_max: Bound | None = None,
    engagement_min: Annotated[Ratio | None, Query(description="usual likes per 10,000 followers")] = None,
    engagement_max: Ratio | None = None,
) -> Search:
    return Search(
        keyword=keyword,
        category=category,
        talent_agency_id=talent_agency_id,
        country=country,
        region=region,
        gender=gender,
        platform=platform,
        age_min=age_min,
        age_max=age_max,
        followers_min=followers_min,
        followers_max=followers_max,
        engagement_min=engagement_min,
        engagement_max=engagement_max,
    )


SearchDep = Annotated[Search, Depends(_search)]
