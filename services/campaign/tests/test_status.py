"""A status asked in SQL is the status that the rule gives."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import get_args
from uuid import UUID, uuid4

from sqlalchemy import insert, select

from souk.campaign.domain.brief import Brief
from souk.campaign.domain.status import Status
from souk.campaign.store import campaigns, copies
from souk.campaign.store.tables import budget, campaign, organisation
from souk.chassis.auth import Principal
from souk.contracts.ids import OrganisationId, UserId
from souk.contracts.topics.budgets import Budget

NOW = datetime(2017, 9, 14, tzinfo=UTC)
STAFF = Principal("staff", UserId(uuid4()), OrganisationId(uuid4()), None)
AROUND = [NOW + timedelta(hours=hours) for hours in (-2, -1, 0, 1, 2)]


def judged(campaign_id: UUID, version: int, budget_version: int, status: str) -> Budget:
    return Budget(
        id=campaign_id,
        version=version,
        changed_at=NOW,
        campaign_id=campaign_id,
        currency="USD",
        budget=100,
        budget_version=budget_version,
        consumed=100,
        status=status,
    )


async def test_the_list_and_the_rule_agree_on_every_case(units):
    advertiser = uuid4()
    async with units.begin() as work:
        await work.execute(
            insert(organisation).values(
                id=advertiser,
                version=1,
                changed_at=NOW,
                created_at=NOW,
                kind="advertiser",
                name="A",
                country="US",
                active=True,
            )
        )
        row = await campaigns.add(work, Brief(advertiser_id=OrganisationId(advertiser), type="url"), None)
        cases, judgements = [], []
        for approved, starts, ends, version, judgement in product(
            (None, NOW),
            AROUND,
            AROUND,
            (1, 2),
            (None, *product((1, 2), (True, False))),
        ):
            if starts >= ends:
                continue
            case = {
                **row._mapping,
                "id": uuid4(),
                "approved_at": approved,
                "opens_at": NOW,
                "starts_at": starts,
                "ends_at": ends,
                "budget_version": version,
                "budget": 100,
                "currency": "USD",
            }
            cases.append({name: value for name, value in case.items() if name in campaign.c})
            if judgement:
                judgements.append(
                    {
                        "id": case["id"],
                        "version": 1,
                        "budget_version": judgement[0],
                        "exhausted": judgement[1],
                    }
                )
        await work.execute(insert(campaign), cases)
        await work.execute(insert(budget), judgements)

    async with units.begin(read_only=True) as work:
        everything = await work.fetch_all(campaigns.seen_by(STAFF, campaigns.Filter(), NOW))
        by_rule = {row.id: campaigns.status_of_row(row, NOW) for row in everything}
        by_list = {
            row.id: status
            for status in get_args(Status)
            for row in await work.fetch_all(campaigns.seen_by(STAFF, campaigns.Filter(status=status), NOW))
        }
    assert by_list == by_rule
    assert set(by_rule.values()) == set(get_args(Status))


async def test_only_the_newest_judgement_counts_and_a_raise_outdates_it(units):
    campaign_id = uuid4()
    async with units.begin() as work:
        newest = judged(campaign_id, 3, 1, "exhausted")
        await copies.keep_budgets(work, [newest, judged(campaign_id, 2, 1, "open")])
        await copies.keep_budgets(work, [judged(campaign_id, 1, 1, "open"), newest])

        rows = await work.fetch_all(select(budget))

    assert [(row.version, row.budget_version, row.exhausted) for row in rows] == [(3, 1, True)]
