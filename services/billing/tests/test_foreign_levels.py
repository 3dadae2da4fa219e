"""Levels belong to a user of an organisation: another's row with the same subject says nothing."""

from datetime import UTC, datetime
from typing import get_args
from uuid import uuid4

import pytest

from souk.contracts.permissions import Area, Level
from souk.contracts.topics.users import User

START = datetime(2017, 9, 14, tzinfo=UTC)
NOTHING = dict.fromkeys(get_args(Area), Level.NONE)


@pytest.mark.parametrize("active", [True, False])
async def test_levels_count_in_the_organisation_that_gave_them_alone(billing, api, active):
    subject, own, other = uuid4(), uuid4(), uuid4()

    await billing.tell(
        User(
            id=subject,
            version=1,
            changed_at=START,
            organisation_id=other,
            levels=NOTHING,
            active=active,
        )
    )

    at_home = api.caller("staff", user=subject, organisation=own)
    elsewhere = api.caller("staff", user=subject, organisation=other)
    assert (await at_home.get("/v1/payments")).status_code == 200
    assert (await elsewhere.get("/v1/payments")).status_code == 403
