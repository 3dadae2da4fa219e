"""Who may raise whose levels, by whatever way a level rises (domain.md §1)."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

LESS = {"campaign": "view"}


async def user(suite, organisation: UUID, email: str, **fields: Any) -> Mapping[str, Any]:
    body = {"organisation_id": str(organisation), "email": email, "name": "Ann"} | fields
    made = await suite.staff.post("/v1/users", body)
    assert made.status_code == 201, made.text
    return made.json()


@pytest.fixture
async def shop(suite) -> UUID:
    return await suite.organisation("advertiser")


@pytest.fixture
async def ann(suite, shop):
    """Keeps her organisation's users; staff left her with a look at campaigns alone."""
    row = await user(suite, shop, "ann@shop.test", levels=LESS)
    return suite.caller("advertiser", shop, row["id"])


def refusal(answer) -> tuple[int, str, Any]:
    return answer.status_code, answer.json()["reason"], answer.json().get("areas")


@pytest.mark.parametrize("levels", [{}, {"report": "none"}, {"campaign": "manage"}, {"campaign": "none"}])
async def test_nobody_edits_their_own_levels(suite, shop, ann, levels):
    me = (await ann.get("/v1/users")).json()["items"][0]

    refused = await ann.patch(f"/v1/users/{me['id']}", {"levels": levels})
    renamed = await ann.patch(f"/v1/users/{me['id']}", {"name": "Anna", "levels": LESS})

    assert refusal(refused)[:2] == (403, "forbidden")
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Anna")
    assert (await ann.post("/v1/campaigns", {"type": "url"})).status_code == 403


async def test_staff_do_not_edit_their_own_levels_either(suite):
    platform = await suite.organisation("platform")
    row = await user(suite, platform, "sam@souk.test", levels={"payment": "view"})

    refused = await suite.caller("staff", platform, row["id"]).patch(f"/v1/users/{row['id']}", {"levels": {}})

    assert refusal(refused)[:2] == (403, "forbidden")


async def test_taking_an_override_away_is_a_rise_to_the_default(suite, shop, ann):
    bob = await user(suite, shop, "bob@shop.test", levels=LESS | {"report": "none"})
    path = f"/v1/users/{bob['id']}"

    beyond = await ann.patch(path, {"levels": {}})
    within = await ann.patch(path, {"levels": LESS})
    by_staff = await suite.staff.patch(path, {"levels": {}})

    assert refusal(beyond) == (403, "forbidden", ["campaign"])
    assert within.json()["levels"] == LESS
    assert by_staff.json()["levels"] == {}


async def test_taking_an_override_away_that_gave_more_is_no_rise(suite, shop, ann):
    trusted = await user(suite, shop, "bob@shop.test", levels=LESS | {"payment": "view"})

    lowered = await ann.patch(f"/v1/users/{trusted['id']}", {"levels": LESS})

    assert lowered.json()["levels"] == LESS


async def test_a_new_user_is_given_no_more_by_default_than_the_one_who_adds_them_has(suite, shop, ann):
    bob = {"email": "bob@shop.test", "name": "Bob"}

    beyond = await ann.post("/v1/users", bob)
    within = await ann.post("/v1/users", bob | {"levels": LESS})

    assert refusal(beyond) == (403, "forbidden", ["campaign"])
    assert within.status_code == 201


async def test_bringing_a_user_back_gives_them_all_their_levels(suite, shop, ann):
    trusted = await user(suite, shop, "bob@shop.test", levels=LESS | {"payment": "view"})
    usual = await user(suite, shop, "cid@shop.test", levels=LESS)
    for one in (trusted, usual):
        assert (await ann.patch(f"/v1/users/{one['id']}", {"active": False})).status_code == 200

    beyond = await ann.patch(f"/v1/users/{trusted['id']}", {"active": True})
    within = await ann.patch(f"/v1/users/{usual['id']}", {"active": True})

    assert refusal(beyond) == (403, "forbidden", ["payment"])
    assert within.json()["active"]
