"""Users who are called inactive, because they or their organisation are, reach nothing (domain.md §1)."""

from uuid import uuid4

from souk.contracts.topics.users import User
from souk.influencer import subscriptions


async def test_users_of_a_deactivated_organisation_are_refused_until_it_comes_back(suite):
    agency, ann, bob = uuid4(), uuid4(), uuid4()

    async def reads(version: int, *, active: bool) -> None:
        async with suite.units.begin() as work:
            states = [
                User(
                    id=each,
                    version=version,
                    changed_at=work.now,
                    organisation_id=agency,
                    levels={},
                    active=active,
                )
                for each in (ann, bob)
            ]
            await subscriptions.users_changed(work, states)

    async def answers() -> list[int]:
        callers = [suite.caller("talent-agency", agency, each) for each in (ann, bob)]
        return [(await one.get("/v1/influencers")).status_code for one in callers]

    await reads(1, active=True)
    assert await answers() == [200, 200]

    await reads(2, active=False)
    await reads(1, active=True)  # read again
    assert await answers() == [403, 403]

    await reads(3, active=True)
    assert await answers() == [200, 200]
