"""Who is told of which campaigns, and when (domain.md §7)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from souk.chassis.auth import Principal
from souk.chassis.work import Units, Work
from souk.contracts.ids import OrganisationId, UserId, announcement_id
from souk.influencer.handlers import announcements, signups
from souk.influencer.store import influencers

BATCH = datetime(2017, 9, 20, 1, tzinfo=UTC)
DAY = date(2017, 9, 20)
STAFF_MEMBER = Principal("staff", UserId(UUID(int=1)), OrganisationId(UUID(int=2)), None)


class Killed(Exception):
    """The process is gone."""


class Mortal(Units):
    """Of a process that is killed where it would open one unit of work too many."""

    def __init__(self, of: Units, units: int) -> None:
        super().__init__(of.engine, of.clock, of.service)
        self.left = units

    @asynccontextmanager
    async def begin(self, *, read_only: bool = False) -> AsyncIterator[Work]:
        if not read_only:
            if self.left == 0:
                raise Killed
            self.left -= 1
        async with super().begin(read_only=read_only) as work:
            yield work


async def test_an_approved_campaign_is_announced_to_all_who_match_and_are_selected(suite: Any) -> None:
    first, second, deselected = await suite.influencers(3)
    elsewhere = await suite.influencer(region="Kansai")
    campaign = suite.campaign(lifecycle="draft", approved_at=None)
    await suite.reads(campaign)
    path = f"/v1/selections/{campaign.id}/deselect"
    await suite.staff.post(path, {"influencer_ids": [str(deselected)]})
    assert not await suite.runs("announce.upcoming", campaign.id), "a draft triggers nothing"
    await suite.reads(suite.campaign(id=campaign.id, version=2))

    assert await suite.runs("announce.upcoming", campaign.id)

    [told] = await suite.published("announcement")
    assert told.id == announcement_id("upcoming", str(campaign.id), 1)
    assert [r.influencer_id for r in told.recipients] == [first, second, elsewhere]
    assert all(r.campaign_ids == (campaign.id,) for r in told.recipients)
    kept = await suite.rows("SELECT influencer_id, inputs FROM decision WHERE effect = 'announced'")
    assert {row.influencer_id for row in kept} == {first, second, elsewhere}
    assert kept[0].inputs["influencer"]["accounts"] == []
    assert not await suite.runs("announce.upcoming", campaign.id)


async def test_a_campaign_that_has_started_is_not_announced_as_upcoming(suite: Any) -> None:
    await suite.influencer()
    campaign = suite.campaign()
    await suite.reads(campaign)
    suite.now(campaign.starts_at)

    await suite.runs("announce.upcoming", campaign.id)

    assert await suite.published("announcement") == []


async def test_the_start_batch_lists_all_campaigns_of_the_day_once_per_influencer(suite: Any) -> None:
    anyone, kanto = await suite.influencer(), await suite.influencer(region="Kanto")
    everywhere = suite.campaign()
    local = suite.campaign(audience={"regions": ["Kanto"]}, starts_at=datetime(2017, 9, 19, 15, tzinfo=UTC))
    tomorrow = suite.campaign(start_date=DAY + timedelta(days=1), starts_at=BATCH + timedelta(days=1))
    await suite.reads(everywhere, local, tomorrow)
    assert (await suite.due())["announce.started", "2017-09-20"] == BATCH
    suite.now(BATCH)

    assert await suite.runs("announce.started", DAY)

    [told] = await suite.published("announcement")
    assert [(r.influencer_id, r.campaign_ids) for r in told.recipients] == [
        (anyone, (everywhere.id,)),
        (kanto, (local.id, everywhere.id)),
    ]
    assert (told.occasion, told.day, told.part, told.parts) == ("started", DAY, 1, 1)


async def test_approved_at_the_batch_or_later_is_in_no_batch(suite: Any) -> None:
    await suite.influencer()
    await suite.reads(
        suite.campaign(approved_at=BATCH), suite.campaign(approved_at=BATCH - timedelta(microseconds=1))
    )
    suite.now(BATCH)

    await suite.runs("announce.started", DAY)

    [told] = await suite.published("announcement")
    assert len(told.recipients[0].campaign_ids) == 1
    await suite.reads(suite.campaign(approved_at=BATCH))
    assert not await suite.runs("announce.started", DAY)


async def test_a_state_that_arrives_after_the_batch_is_neither_dropped_nor_doubled(suite: Any) -> None:
    await suite.influencer()
    in_time, late = suite.campaign(), suite.campaign()
    await suite.reads(in_time)
    suite.now(BATCH)
    await suite.runs("announce.started", DAY)
    suite.now(BATCH + timedelta(minutes=1))
    await suite.reads(late, in_time.model_copy(update={"version": 2, "title": "other"}))

    assert await suite.runs("announce.started", DAY)

    told = await suite.published("announcement")
    assert [one.recipients[0].campaign_ids for one in told] == [(in_time.id,), (late.id,)]
    assert len({one.id for one in told}) == 2


async def test_a_batch_goes_in_parts_of_500_in_order_of_sign_up(suite: Any) -> None:
    people = [who for _ in range(3) for who in await suite.influencers(200)]
    campaign = suite.campaign()
    await suite.reads(campaign)
    await suite.runs("announce.upcoming", campaign.id)

    told = await suite.published("announcement")

    assert [(one.part, one.parts, len(one.recipients)) for one in told] == [(1, 2, 500), (2, 2, 100)]
    assert {r.influencer_id for one in told for r in one.recipients} == set(people)


async def test_what_was_announced_is_kept_for_30_days(suite: Any) -> None:
    await suite.influencer()
    kept = []
    for days in (0, 30, 31):
        suite.now(BATCH + timedelta(days=days))
        start = DAY + timedelta(days=days)
        starts_at = BATCH.replace(hour=0) + timedelta(days=days)
        await suite.reads(
            suite.campaign(start_date=start, starts_at=starts_at, ends_at=starts_at + timedelta(days=90))
        )
        await suite.runs("announce.started", start)
        kept.append([day for (day,) in await suite.rows("SELECT day FROM announcement ORDER BY day")])

    first, second, third = (DAY + timedelta(days=days) for days in (0, 30, 31))
    assert kept == [[first], [first, second], [second, third]]


async def test_a_stopped_campaign_is_not_announced_as_started(suite: Any) -> None:
    await suite.influencer()
    campaign = suite.campaign(ends_at=BATCH)
    await suite.reads(campaign)
    suite.now(BATCH)

    await suite.runs("announce.started", DAY)

    assert await suite.published("announcement") == []


async def test_killed_after_any_step_a_batch_goes_on_and_tells_nobody_twice(
    suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "RANGE", 50)
    monkeypatch.setattr(announcements, "MOST_RECIPIENTS", 10)
    people = [who for _ in range(3) for who in await suite.influencers(40)]
    first, second, late = (suite.campaign() for _ in range(3))
    await suite.reads(first, second)
    suite.now(BATCH)

    killed = 0
    while True:
        try:
            # It takes up what is under way in the first, and does a step in the second.
            if not await replace(suite, units=Mortal(suite.units, 2)).runs("announce.started", DAY):
                break
        except Killed:
            killed += 1
            if killed == 2:
                suite.now(BATCH + timedelta(minutes=1))
                await suite.reads(late)
                await suite.influencer()

    assert killed > 10
    told = await suite.published("announcement")
    of_batch, of_late = told[:12], told[12:]
    for batch in (of_batch, of_late):
        assert [(one.part, one.parts) for one in batch] == [(n, len(batch)) for n in range(1, len(batch) + 1)]
    assert sorted(r.influencer_id for one in of_batch for r in one.recipients) == sorted(people)
    both = {first.id, second.id}
    assert all(set(r.campaign_ids) == both for one in of_batch for r in one.recipients)
    assert sum(len(one.recipients) for one in of_late) == 121
    assert all(r.campaign_ids == (late.id,) for one in of_late for r in one.recipients)
    assert len({one.id for one in told}) == len(told)
    [left] = await suite.rows("SELECT count(*) FROM recipient UNION SELECT count(*) FROM announcing")
    assert left == (0,)


async def test_nobody_who_signed_up_after_an_announcement_was_opened_is_in_it(
    suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "RANGE", 1)
    early = await suite.influencer()
    campaign = suite.campaign()
    await suite.reads(campaign)
    with pytest.raises(Killed):
        await replace(suite, units=Mortal(suite.units, 1)).runs("announce.upcoming", campaign.id)
    suite.now(datetime(2017, 9, 14, 0, 0, 1, tzinfo=UTC))
    await suite.influencer()

    await suite.runs("announce.upcoming", campaign.id)

    [told] = await suite.published("announcement")
    assert [r.influencer_id for r in told.recipients] == [early]


async def test_what_an_erasure_forgets_is_not_recorded_beside_it(suite: Any) -> None:
    who, stays = await suite.influencers(2)
    campaign = suite.campaign()
    await suite.reads(campaign)

    async with suite.units.begin() as work:
        row = await influencers.lock(work, who, STAFF_MEMBER)
        await signups.erase(work, row)
        announcing = asyncio.create_task(suite.runs("announce.upcoming", campaign.id))
        done, _ = await asyncio.wait([announcing], timeout=0.3)
        assert not done
    await asyncio.wait_for(announcing, timeout=10)

    kept = await suite.rows("SELECT influencer_id FROM decision WHERE effect = 'announced'")
    assert [row.influencer_id for row in kept] == [stays]
