"""An organisation out of service takes its users with it, wherever their states are read (domain.md §1)."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import select, text

from souk.campaign.main import build
from souk.campaign.settings import CampaignSettings
from souk.campaign.store.tables import user
from souk.contracts.topics.users import USERS, User


async def add_user(suite, home: UUID, email: str) -> UUID:
    body = {"organisation_id": str(home), "email": email, "name": "Ann"}
    made = await suite.staff.post("/v1/users", body)
    assert made.status_code == 201, made.text
    return UUID(made.json()["id"])


async def switch(suite, organisation_id: UUID, *, active: bool) -> None:
    answer = await suite.staff.patch(f"/v1/organisations/{organisation_id}", {"active": active})
    assert answer.status_code == 200, answer.text


async def newest(suite) -> dict[UUID, tuple[int, bool]]:
    """Version and `active` of each user as last published; a version is published once."""
    states = [state for _, state in await suite.published() if isinstance(state, User)]
    assert len({(state.id, state.version) for state in states}) == len(states)
    return {state.id: (state.version, state.active) for state in sorted(states, key=lambda s: s.version)}


@pytest.fixture
async def shop(suite) -> UUID:
    return await suite.organisation("advertiser")


async def test_users_go_out_of_service_with_their_organisation_and_come_back_with_it(suite, shop):
    other = await suite.organisation("advertiser")
    ann, bob = await add_user(suite, shop, "ann@shop.test"), await add_user(suite, shop, "bob@shop.test")
    eve = await add_user(suite, other, "eve@other.test")

    await switch(suite, shop, active=False)
    assert await newest(suite) == {ann: (2, False), bob: (2, False), eve: (1, True)}

    await switch(suite, shop, active=True)
    assert await newest(suite) == {ann: (3, True), bob: (3, True), eve: (1, True)}


async def test_who_was_out_of_service_before_stays_so_when_the_organisation_comes_back(suite, shop):
    ann, bob = await add_user(suite, shop, "ann@shop.test"), await add_user(suite, shop, "bob@shop.test")
    await suite.staff.patch(f"/v1/users/{bob}", {"active": False})

    await switch(suite, shop, active=False)
    await switch(suite, shop, active=True)

    assert {who: active for who, (_, active) in (await newest(suite)).items()} == {ann: True, bob: False}


async def test_no_edit_brings_a_user_of_an_organisation_out_of_service_back(suite, shop):
    ann = await add_user(suite, shop, "ann@shop.test")
    await switch(suite, shop, active=False)
    bob = await add_user(suite, shop, "bob@shop.test")

    edited = await suite.staff.patch(f"/v1/users/{ann}", {"name": "Anna"})

    assert edited.json()["active"]  # her own switch, which counts again with the organisation's
    assert await newest(suite) == {ann: (3, False), bob: (1, False)}


async def test_another_edit_of_the_organisation_leaves_its_users_alone(suite, shop):
    ann = await add_user(suite, shop, "ann@shop.test")

    await suite.staff.patch(f"/v1/organisations/{shop}", {"name": "Renamed", "active": True})

    assert await newest(suite) == {ann: (1, True)}


async def test_users_are_published_again_as_they_were(suite, shop):
    ann = await add_user(suite, shop, "ann@shop.test")
    await switch(suite, shop, active=False)
    republish = build(CampaignSettings(kafka="unused", database="postgresql://unused")).republishers[USERS]

    async with suite.units.begin() as work:
        [state] = await republish(work, None, 10)

    assert (state.id, state.version, state.active) == (ann, 2, False)


async def waiting(suite, many: int) -> None:
    """Until so many requests wait for a lock."""
    count = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(15):
        while True:
            async with suite.units.begin(read_only=True) as work:
                if await work.scalar(count) == many:
                    return
            await asyncio.sleep(0.02)


async def test_a_user_who_is_added_or_edited_meanwhile_is_not_left_in_service(suite, shop):
    ann = await add_user(suite, shop, "ann@shop.test")

    async with asyncio.TaskGroup() as requests, suite.units.begin() as held:
        await held.fetch_one(select(user.c.id).where(user.c.id == ann).with_for_update())
        requests.create_task(switch(suite, shop, active=False))
        await waiting(suite, 1)
        requests.create_task(suite.staff.patch(f"/v1/users/{ann}", {"name": "Anna"}))
        added = requests.create_task(add_user(suite, shop, "bob@shop.test"))
        await waiting(suite, 3)

    active = {who: active for who, (_, active) in (await newest(suite)).items()}
    assert active == {ann: False, added.result(): False}
