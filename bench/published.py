"""States of a market as its services would publish them: campaigns, who takes part, posts with metrics."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from souk.contracts.ids import CampaignId, InfluencerId, participation_id, post_id
from souk.contracts.money import Micros
from souk.contracts.topics.campaigns import Campaign, Rates
from souk.contracts.topics.participations import Participation
from souk.contracts.topics.posts import Metrics, Post
from souk.contracts.topics.terms import Terms

LANDING = "https://shop.example/spring"
_PLENTY = Micros(10**15)


@dataclass(frozen=True, slots=True)
class Brief:
    """A campaign and those who joined it."""

    campaign: Campaign
    terms: Terms
    participations: tuple[Participation, ...]


def brief(chance: random.Random, people: int, *, margin: int = 0, **fields: Any) -> Brief:
    """fields: of the campaign, which began yesterday and otherwise has money for anything."""
    now = datetime.now(UTC)
    began = now - timedelta(days=1)
    of = _id(chance)
    usual: dict[str, Any] = {
        "advertiser_id": UUID(int=1, version=4),
        "type": "social",
        "title": "Spring",
        "rates": Rates(view=Micros(1), click=Micros(1)),
        "cap": None,
        "budget": _PLENTY,
    }
    campaign = Campaign(
        id=of,
        version=1,
        changed_at=now,
        lifecycle="approved",
        created_at=began,
        approved_at=began,
        starts_at=began,
        ends_at=now + timedelta(days=30),
        currency="USD",
        budget_version=1,
        multi_posting=True,
        landing_url=LANDING,
        **(usual | fields),
    )
    participations = []
    for _ in range(people):
        who = _id(chance)
        participations.append(
            Participation(
                id=participation_id(CampaignId(of), InfluencerId(who)),
                version=1,
                changed_at=now,
                campaign_id=of,
                influencer_id=who,
                state="joined",
                joined_at=began,
            )
        )
    return Brief(campaign, Terms(id=of, version=1, changed_at=now, margin=margin), tuple(participations))


def measured(briefs: list[Brief], posts: int, versions: range, views: int) -> Iterator[Post]:
    """Each participation's posts, version by version: at version v with v × `views` views."""
    now = datetime.now(UTC)
    for version in versions:
        counted = Metrics(views=views * version, likes=version, comments=1)
        for one in briefs:
            for who in one.participations:
                for number in range(posts):
                    name = f"{who.id.hex[:12]}{number}"
                    key = post_id(CampaignId(who.campaign_id), "youtube", name)
                    yield post(who, key, name, version, counted, now)


def post(who: Participation, key: UUID, name: str, version: int, counted: Metrics, at: datetime) -> Post:
    """A post that counts."""
    return Post(
        id=key,
        version=version,
        changed_at=at,
        campaign_id=who.campaign_id,
        participation_id=who.id,
        influencer_id=who.influencer_id,
        account_id=who.influencer_id,
        platform="youtube",
        external_id=name,
        url=f"https://youtube.example/{name}",
        title="A video of the spring",
        published_at=at,
        found_at=at,
        status="effective",
        counts=True,
        latest=counted,
        observed_at=at,
        counted=counted,
    )


def _id(chance: random.Random) -> UUID:
    return UUID(int=chance.getrandbits(128), version=4)
