"""Levels belong to a user of an organisation: another's row with the same subject says nothing."""

from typing import get_args
from uuid import uuid4

import pytest

from souk.contracts.permissions import Area, Level
from souk.contracts.topics.users import User

from .conftest import START

NOTHING = dict.fromkeys(get_args(Area), Level.NONE)


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("role", ["staff", "advertiser"])
async def test_levels_count_in_the_organisation_that_gave_them_alone(house, door, role, active):
    subject, own, other = uuid4(), uuid4(), uuid4()

    await house.hear(
        User(id=subject, version=1, changed_at=START, organisation_id=other, levels=NOTHING, active=active)
    )

    assert (await door(role, "GET", "/v1/posts", user=subject, organisation=own)).status_code == 200
    assert (await door(role, "GET", "/v1/posts", user=subject, organisation=other)).status_code == 403
