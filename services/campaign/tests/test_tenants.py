"""Every route, asked by every role: a tenant reaches its own rows, and a foreign id is an unknown one."""

from dataclasses import dataclass
from uuid import UUID

import pytest

ROLES = (
    "staff",
    "advertiser",
    "agency",
    "foreign advertiser",
    "foreign agency",
    "talent agency",
    "influencer",
    "nobody",
)

# Answers in the order of ROLES.
ROUTES = {
    "GET /v1/organisations/{advertiser}": (200, 200, 200, 404, 404, 404, 403, 401),
    "GET /v1/organisations/{agency}": (200, 200, 200, 404, 404, 404, 403, 401),
    "PATCH /v1/organisations/{advertiser}": (200, 403, 403, 403, 403, 403, 403, 401),
    "POST /v1/organisations": (201, 403, 403, 403, 403, 403, 403, 401),
    "GET /v1/users/{user}": (200, 200, 404, 404, 404, 404, 403, 401),
    "PATCH /v1/users/{user}": (200, 200, 404, 404, 404, 404, 403, 401),
    "POST /v1/users": (201, 201, 404, 404, 404, 404, 403, 401),
    "GET /v1/campaigns/{campaign}": (200, 200, 200, 404, 404, 404, 404, 401),
    "GET /v1/campaigns/{campaign}/status": (200, 200, 200, 404, 404, 404, 404, 401),
    "PATCH /v1/campaigns/{campaign}": (200, 200, 200, 404, 404, 403, 403, 401),
    "POST /v1/campaigns": (201, 201, 201, 404, 404, 403, 403, 401),
    "POST /v1/campaigns/{campaign}/clone": (201, 201, 201, 404, 404, 403, 403, 401),
    "POST /v1/campaigns/{campaign}/stop": (409, 409, 409, 404, 404, 403, 403, 401),
    "POST /v1/campaigns/{campaign}/approve": (200, 403, 403, 404, 404, 403, 403, 401),
}
LISTS = {
    "/v1/organisations": (5, 2, 2, 1, 1, 1, None, None),
    "/v1/users": (1, 1, 0, 0, 0, 0, None, None),
    "/v1/campaigns": (1, 1, 1, 0, 0, 0, 0, None),
}


@dataclass(frozen=True, slots=True)
class House:
    """An advertiser with its agency, a user and a campaign; beside them two tenants and a talent agency."""

    organisations: dict[str, UUID]
    user: str
    campaign: str


@pytest.fixture
async def house(suite) -> House:
    agency = await suite.organisation("agency")
    organisations = {
        "agency": agency,
        "advertiser": await suite.organisation("advertiser", agency_id=agency),
        "foreign agency": await suite.organisation("agency"),
        "foreign advertiser": await suite.organisation("advertiser"),
        "talent agency": await suite.organisation("talent-agency"),
    }
    user = await suite.staff.post(
        "/v1/users",
        {"organisation_id": str(organisations["advertiser"]), "email": "ann@shop.test", "name": "Ann"},
    )
    campaign = await suite.campaign(advertiser_id=organisations["advertiser"])
    return House(organisations, user.json()["id"], campaign["id"])


def caller(suite, house: House, role: str):
    if role == "staff":
        return suite.staff
    if role == "influencer":
        return suite.caller("influencer")
    if role == "nobody":
        return suite.nobody
    kind = "talent-agency" if role == "talent agency" else role.removeprefix("foreign ")
    return suite.caller(kind, house.organisations[role])


def body(method: str, path: str, house: House) -> object:
    advertiser = str(house.organisations["advertiser"])
    if method == "PATCH":
        return {"title": "x"} if "campaigns" in path else {"name": "x"}
    return {
        "/v1/organisations": {"kind": "platform", "name": "x", "country": "US"},
        "/v1/users": {"organisation_id": advertiser, "email": "bob@shop.test", "name": "Bob"},
        "/v1/campaigns": {"type": "url", "advertiser_id": advertiser},
    }.get(path)


@pytest.mark.parametrize(("route", "expected"), ROUTES.items(), ids=ROUTES.keys())
async def test_a_tenant_reaches_its_own_rows_alone(suite, house, route, expected):
    method, _, template = route.partition(" ")
    path = template.format(**house.organisations, user=house.user, campaign=house.campaign)
    answers = {}

    for role in reversed(ROLES):  # staff last: what they do may end what the others could
        asking = caller(suite, house, role)
        headers = {"If-Match": "*", "Idempotency-Key": role}
        email = {"email": f"{role.replace(' ', '-')}@shop.test"} if path == "/v1/users" else {}
        sent = None if method == "GET" else body(method, path, house)
        answer = await asking.send(method, path, headers, json={**sent, **email} if sent else None)
        answers[role] = answer.status_code

    assert answers == dict(zip(ROLES, expected, strict=True))


@pytest.mark.parametrize(("path", "expected"), LISTS.items(), ids=LISTS.keys())
async def test_a_list_holds_the_callers_rows_alone(suite, house, path, expected):
    found = {}

    for role in ROLES:
        answer = await caller(suite, house, role).get(path)
        found[role] = len(answer.json()["items"]) if answer.status_code == 200 else None

    assert found == dict(zip(ROLES, expected, strict=True))


async def test_every_route_is_in_the_table(suite):
    described = (await suite.client.get("/openapi.json")).json()["paths"]
    names = {"organisation_id": "advertiser", "user_id": "user", "campaign_id": "campaign"}
    routes = set()
    for path, methods in described.items():
        shown = path
        for parameter, name in names.items():
            shown = shown.replace(f"{{{parameter}}}", f"{{{name}}}")
        routes |= {f"{method.upper()} {shown}" for method in methods}

    tabled = {*ROUTES, *(f"GET {path}" for path in LISTS)} - {"GET /v1/organisations/{agency}"}
    assert routes == tabled
