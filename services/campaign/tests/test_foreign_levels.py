"""Levels belong to a user of an organisation: nobody gives them to the subject of other people's tokens."""

from typing import get_args
from uuid import UUID, uuid4

import pytest

from souk.contracts.permissions import Area

NOTHING = dict.fromkeys(get_args(Area), "none")


async def add_user(caller, subject: UUID) -> None:
    body = {"id": str(subject), "email": "ann@shop.test", "name": "Ann", "levels": NOTHING}
    made = await caller.post("/v1/users", body)
    assert made.status_code == 201, made.text


@pytest.mark.parametrize("role", ["staff", "agency", "advertiser"])
async def test_another_organisations_row_takes_nothing_from_a_subject(suite, role):
    shop, subject = await suite.organisation("advertiser"), uuid4()
    stranger = suite.caller(role, uuid4(), subject)

    await add_user(suite.caller("advertiser", shop), subject)

    assert (await stranger.get("/v1/campaigns")).status_code == 200
    assert (await suite.caller("advertiser", shop, subject).get("/v1/campaigns")).status_code == 403


async def test_what_staff_may_give_is_not_measured_by_another_organisations_row(suite):
    shop, other, subject = await suite.organisation("advertiser"), await suite.organisation("agency"), uuid4()
    await add_user(suite.caller("advertiser", shop), subject)

    bob = {"organisation_id": str(other), "email": "bob@agency.test", "name": "Bob"}
    made = await suite.caller("staff", uuid4(), subject).post("/v1/users", bob)

    assert made.status_code == 201, made.text
