"""Levels belong to a user of an organisation: another's row with the same subject says nothing."""

from typing import get_args
from uuid import uuid4

import pytest

from souk.contracts.permissions import Area, Level
from souk.contracts.topics.users import User
from souk.influencer import subscriptions

NOTHING = dict.fromkeys(get_args(Area), Level.NONE)


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("role", ["staff", "talent-agency"])
async def test_levels_count_in_the_organisation_that_gave_them_alone(suite, role, active):
    subject, own, other = uuid4(), uuid4(), uuid4()

    async with suite.units.begin() as work:
        state = User(
            id=subject,
            version=1,
            changed_at=work.now,
            organisation_id=other,
            levels=NOTHING,
            active=active,
        )
        await subscriptions.users_changed(work, [state])

    assert (await suite.caller(role, own, subject).get("/v1/influencers")).status_code == 200
    assert (await suite.caller(role, other, subject).get("/v1/influencers")).status_code == 403
