"""Users who are called inactive, because they or their organisation are, reach nothing (domain.md §1)."""

from uuid import uuid4

from souk.contracts.permissions import Level
from souk.contracts.topics.users import User

from .conftest import START


async def test_users_of_a_deactivated_organisation_are_refused_until_it_comes_back(house, door):
    shop, ann = uuid4(), uuid4()

    async def hear(version: int, *, active: bool) -> None:
        own = {"post": Level.VIEW}
        await house.hear(
            User(id=ann, version=version, changed_at=START, organisation_id=shop, levels=own, active=active)
        )

    async def answer() -> int:
        return (await door("advertiser", "GET", "/v1/posts", user=ann, organisation=shop)).status_code

    await hear(1, active=True)
    assert await answer() == 200

    await hear(2, active=False)
    assert await answer() == 403

    await hear(3, active=True)
    assert await answer() == 200
