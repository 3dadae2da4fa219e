"""Organisations and users over HTTP: who keeps whom, and how far levels reach."""

from uuid import uuid4

import pytest

from souk.contracts.permissions import Level
from souk.contracts.topics.organisations import Organisation
from souk.contracts.topics.users import User


def reason(response) -> str:
    return response.json()["reason"]


async def user(suite, organisation, email="ann@shop.test", **fields):
    body = {"organisation_id": str(organisation), "email": email, "name": "Ann"} | fields
    made = await suite.staff.post("/v1/users", body)
    assert made.status_code == 201, made.text
    return made.json()


async def test_an_organisation_is_made_with_the_id_it_brings(suite):
    brought = uuid4()

    made = await suite.organisation("agency", id=brought)
    taken = await suite.staff.post(
        "/v1/organisations", {"id": str(brought), "kind": "agency", "name": "Twice", "country": "US"}
    )

    assert made == brought
    assert (taken.status_code, reason(taken)) == (409, "conflict")
    states = [state for _, state in await suite.published() if isinstance(state, Organisation)]
    assert [(state.id, state.version) for state in states] == [(brought, 1)]


async def test_only_an_advertiser_has_an_agency_and_only_an_agency_is_one(suite):
    agency, advertiser = await suite.organisation("agency"), await suite.organisation("advertiser")
    body = {"name": "x", "country": "US"}

    wrong_kind = await suite.staff.post(
        "/v1/organisations", body | {"kind": "talent-agency", "agency_id": str(agency)}
    )
    no_agency = await suite.staff.post(
        "/v1/organisations", body | {"kind": "advertiser", "agency_id": str(advertiser)}
    )

    for refused in (wrong_kind, no_agency):
        assert reason(refused) == "invalid"
        assert refused.json()["errors"][0]["pointer"] == "/agency_id"


@pytest.mark.parametrize("role", ["advertiser", "agency", "talent-agency", "influencer"])
async def test_organisations_are_kept_by_staff(suite, role):
    refused = await suite.caller(role).post(
        "/v1/organisations", {"kind": "platform", "name": "Mine", "country": "US"}
    )

    assert (refused.status_code, reason(refused)) == (403, "forbidden")


async def test_an_edit_is_a_version_and_an_event(suite):
    advertiser = await suite.organisation("advertiser")
    path = f"/v1/organisations/{advertiser}"

    edited = await suite.staff.patch(path, {"name": "New name"}, version=1)
    idle = await suite.staff.patch(path, {"name": "New name"}, version=2)
    stale = await suite.staff.patch(path, {"name": "Newer name"}, version=1)

    assert (edited.json()["version"], idle.json()["version"]) == (2, 2)
    assert reason(stale) == "version_mismatch"
    assert [event for event, _ in await suite.published()] == [
        "organisation.created",
        "organisation.changed",
    ]


async def test_name_and_address_of_a_user_are_on_no_topic(suite):
    advertiser = await suite.organisation("advertiser")

    made = await user(suite, advertiser, "Ann@Shop.test", levels={"report": "none"})

    assert (made["email"], made["levels"]) == ("ann@shop.test", {"report": "none"})
    event, state = (await suite.published())[-1]
    assert (event, type(state), state.levels) == ("user.created", User, {"report": Level.NONE})
    assert "nn" not in state.model_dump_json(exclude={"organisation_id", "levels"})


async def test_an_organisation_keeps_its_own_users(suite):
    advertiser, other = await suite.organisation("advertiser"), await suite.organisation("advertiser")
    theirs = await user(suite, other)
    manager = suite.caller("advertiser", advertiser)

    own = await manager.post("/v1/users", {"email": "bob@shop.test", "name": "Bob"})
    foreign = await manager.post(
        "/v1/users", {"email": "eve@shop.test", "name": "Eve", "organisation_id": str(other)}
    )
    unseen = await manager.get(f"/v1/users/{theirs['id']}")

    assert own.json()["organisation_id"] == str(advertiser)
    assert (foreign.status_code, reason(foreign)) == (404, "unknown_organisation")
    assert (unseen.status_code, reason(unseen)) == (404, "unknown_user")
    assert [one["email"] for one in (await manager.get("/v1/users")).json()["items"]] == ["bob@shop.test"]


async def test_an_address_is_taken_within_an_organisation_only(suite):
    one, two = await suite.organisation("advertiser"), await suite.organisation("advertiser")
    await user(suite, one)
    second = await user(suite, one, "bob@shop.test")

    elsewhere = await user(suite, two)
    taken = await suite.staff.patch(f"/v1/users/{second['id']}", {"email": "ANN@shop.test"})

    assert elsewhere["email"] == "ann@shop.test"
    assert (taken.status_code, reason(taken)) == (409, "conflict")


@pytest.mark.parametrize("email", ["ann", "ann@shop", "a b@shop.test", "ann@@shop.test", "@shop.test"])
async def test_an_address_looks_like_one(suite, email):
    advertiser = await suite.organisation("advertiser")

    refused = await suite.staff.post(
        "/v1/users", {"organisation_id": str(advertiser), "email": email, "name": "Ann"}
    )

    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/email")


async def test_a_users_own_level_overrides_the_default(suite):
    advertiser = await suite.organisation("advertiser")
    viewer = await user(suite, advertiser, levels={"campaign": "view"})
    blind = await user(suite, advertiser, "bob@shop.test", levels={"campaign": "none"})

    as_viewer = suite.caller("advertiser", advertiser, viewer["id"])
    as_blind = suite.caller("advertiser", advertiser, blind["id"])

    assert (await as_viewer.get("/v1/campaigns")).status_code == 200
    assert (await as_viewer.post("/v1/campaigns", {"type": "url"})).status_code == 403
    assert (await as_blind.get("/v1/campaigns")).status_code == 403


async def test_a_manager_grants_no_more_than_their_own_levels(suite):
    advertiser = await suite.organisation("advertiser")
    manager = suite.caller("advertiser", advertiser)
    bob = {"email": "bob@shop.test", "name": "Bob"}

    beyond = await manager.post("/v1/users", bob | {"levels": {"payment": "view", "report": "view"}})
    within = await manager.post("/v1/users", bob | {"levels": {"campaign": "view"}})
    raised = await manager.patch(f"/v1/users/{within.json()['id']}", {"levels": {"influencer": "manage"}})

    assert (beyond.status_code, beyond.json()["areas"]) == (403, ["payment"])
    assert within.status_code == 201
    assert (raised.status_code, raised.json()["areas"]) == (403, ["influencer"])


async def test_a_level_that_staff_gave_survives_a_managers_edit(suite):
    advertiser = await suite.organisation("advertiser")
    trusted = await user(suite, advertiser, levels={"payment": "view"})
    manager = suite.caller("advertiser", advertiser)

    edited = await manager.patch(
        f"/v1/users/{trusted['id']}", {"levels": {"payment": "view", "report": "none"}}
    )

    assert edited.json()["levels"] == {"payment": "view", "report": "none"}


@pytest.mark.parametrize("whose", ["user", "organisation"])
async def test_whoever_is_inactive_may_do_nothing(suite, whose):
    advertiser = await suite.organisation("advertiser")
    ann = await user(suite, advertiser)
    caller = suite.caller("advertiser", advertiser, ann["id"])
    assert (await caller.get("/v1/campaigns")).status_code == 200

    inactive = ann["id"] if whose == "user" else advertiser
    await suite.staff.patch(f"/v1/{whose}s/{inactive}", {"active": False})

    assert (await caller.get("/v1/campaigns")).status_code == 403
