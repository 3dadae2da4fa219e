"""Every route, by everyone: own rows are served, foreign ones are as good as unknown (domain.md §1)."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from souk.contracts.topics.organisations import Organisation
from souk.influencer.main import build
from souk.influencer.settings import InfluencerSettings

CALLERS = (
    "staff", "advertiser", "agency", "talent-agency", "influencer",
    "other advertiser", "other agency", "other talent-agency", "other influencer",
)  # fmt: skip
OK, CREATED, NONE, NO, LOST, THERE = 200, 201, 204, 403, 404, 409


def row(*statuses: int) -> dict[str, int]:
    return dict(zip(CALLERS, statuses, strict=True))


INSIDERS = row(OK, NO, NO, OK, OK, NO, NO, LOST, LOST)
RUNNERS = row(OK, OK, OK, LOST, LOST, LOST, LOST, LOST, LOST)
RUN = row(OK, OK, OK, NO, NO, LOST, LOST, NO, NO)
EVERY_OWN = row(OK, OK, OK, OK, OK, LOST, LOST, LOST, LOST)
STAFF = row(OK, *[NO] * 8)

ROUTES: dict[tuple[str, str], tuple[object, dict[str, int]]] = {
    ("GET", "/v1/influencers/{influencer}"): (None, EVERY_OWN),
    ("PATCH", "/v1/influencers/{influencer}"): ({"tags": ["x"]}, INSIDERS),
    ("GET", "/v1/influencers/{influencer}/contact"): (None, INSIDERS),
    ("PUT", "/v1/influencers/{influencer}/contact"): ({}, INSIDERS),
    ("GET", "/v1/influencers/{influencer}/payee"): (None, INSIDERS),
    ("PUT", "/v1/influencers/{influencer}/payee"): ({}, INSIDERS),
    ("POST", "/v1/influencers"): (
        {"display_name": "n"}, row(CREATED, NO, NO, CREATED, THERE, NO, NO, CREATED, THERE)),
    ("POST", "/v1/influencers/import"): (
        {"items": [{"display_name": "n"}]},
        row(CREATED, NO, NO, CREATED, THERE, NO, NO, CREATED, THERE)),
    ("GET", "/v1/selections/{campaign}"): (None, STAFF),
    ("POST", "/v1/selections/{campaign}/deselect"): ({"influencer_ids": ["{nobody}"]}, STAFF),
    ("POST", "/v1/selections/{campaign}/reselect"): ({"influencer_ids": ["{nobody}"]}, STAFF),
    ("GET", "/v1/offers"): (None, row(LOST, NO, NO, LOST, OK, NO, NO, LOST, OK)),
    ("GET", "/v1/offers/{campaign}?influencer_id={influencer}"): (None, INSIDERS),
    ("GET", "/v1/participations/{applied}"): (None, EVERY_OWN),
    ("POST", "/v1/participations"): (
        {"campaign_id": "{campaign}", "influencer_id": "{influencer}"},
        row(CREATED, NO, NO, CREATED, CREATED, NO, NO, LOST, LOST)),
    ("POST", "/v1/participations/import"): (
        {"campaign_id": "{campaign}", "influencer_ids": ["{influencer}"]}, STAFF),
    ("POST", "/v1/participations/force"): (
        {"campaign_id": "{campaign}", "influencer_ids": ["{influencer}"]}, STAFF),
    ("PATCH", "/v1/participations/{applied}"): ({"commission": "5"}, RUN),
    ("POST", "/v1/participations/{waiting}/account"): (
        {"account_id": "{account}"}, row(OK, NO, NO, OK, OK, NO, NO, LOST, LOST)),
    ("POST", "/v1/participations/{applied}/approve"): (None, RUN),
    ("POST", "/v1/participations/{applied}/review"): (None, RUN),
    ("POST", "/v1/participations/{rejected}/apply"): (None, RUN),
    ("POST", "/v1/participations/{applied}/reject"): (None, RUN),
    ("POST", "/v1/participations/{applied}/withdraw"): (
        None, row(OK, NO, NO, OK, OK, NO, NO, LOST, LOST)),
    ("POST", "/v1/referral-codes"): (
        {"campaign_id": "{campaign}", "codes": ["CODE1"]},
        row(CREATED, CREATED, CREATED, LOST, LOST, LOST, LOST, LOST, LOST)),
    ("GET", "/v1/referral-codes?campaign_id={campaign}"): (None, RUNNERS),
    ("GET", "/v1/eligibility?campaign_id={campaign}&influencer_id={influencer}"): (None, EVERY_OWN),
    ("DELETE", "/v1/influencers/{influencer}"): (None, row(NONE, *[NO] * 8)),
}  # fmt: skip
LISTS = ("/v1/influencers", "/v1/participations")
BULK = "/v1/participations/approve"


@dataclass(frozen=True, slots=True)
class Tenants:
    ids: dict[str, str]
    callers: dict[str, Any]


@pytest.fixture
async def tenants(suite: Any) -> Tenants:
    organisations = {role: uuid4() for role in ("advertiser", "agency", "talent-agency")}
    person = await suite.influencer(talent_agency_id=str(organisations["talent-agency"]))
    account = suite.account(person)
    terms = {
        "advertiser_id": organisations["advertiser"], "agency_id": organisations["agency"],
        "approval_mode": "manual", "type": "ecommerce",
    }  # fmt: skip
    campaign, second = suite.campaign(**terms), suite.campaign(**terms)
    third = suite.campaign(**terms | {"track_posts": True})
    await suite.reads(
        *(_organisation(suite, role, number, organisations) for role, number in organisations.items()),
        campaign, second, third,
    )  # fmt: skip
    body = {"influencer_id": str(person)}
    made = [
        (await suite.staff.post("/v1/participations", body | {"campaign_id": str(each.id)})).json()["id"]
        for each in (campaign, second, third)
    ]
    await suite.staff.post(f"/v1/participations/{made[1]}/reject")
    await suite.reads(account)
    names = ("applied", "rejected", "waiting")
    ids = {"influencer": str(person), "campaign": str(campaign.id), "account": str(account.id)}
    callers = {role: suite.caller(role, number) for role, number in organisations.items()}
    callers |= {f"other {role}": suite.caller(role) for role in organisations}
    callers |= {
        "staff": suite.staff,
        "influencer": suite.caller("influencer", user=person),
        "other influencer": suite.caller("influencer", user=await suite.influencer()),
    }
    return Tenants(ids | dict(zip(names, made, strict=True)) | {"nobody": str(uuid4())}, callers)


def _organisation(suite: Any, kind: Any, number: UUID, all_of_them: dict[str, UUID]) -> Organisation:
    agency = all_of_them["agency"] if kind == "advertiser" else None
    now = suite.campaign().changed_at
    return Organisation(
        id=number, version=1, changed_at=now, kind=kind, name=kind, country="US", agency_id=agency
    )


def filled(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, str):
        return value.format(**ids)
    if isinstance(value, dict):
        return {name: filled(each, ids) for name, each in value.items()}
    return [filled(each, ids) for each in value] if isinstance(value, list) else value


async def test_own_rows_are_served_and_foreign_ones_unknown(suite: Any, tenants: Tenants) -> None:
    answers: dict[tuple[str, str], dict[str, int]] = {}
    for (method, path), (body, _) in ROUTES.items():
        sent = filled(path, tenants.ids)
        content = {} if body is None else {"json": filled(body, tenants.ids)}
        told = answers[method, path] = {}
        for caller in CALLERS:
            versions = {"If-Match": "*", "Idempotency-Key": uuid4().hex}
            answer = await tenants.callers[caller].send(method, sent, versions, **content)
            told[caller] = answer.status_code
            if answer.is_success and method == "POST" and path.startswith("/v1/participations/{"):
                await _put_back(suite, tenants)

    taken = answers["POST", "/v1/referral-codes"]
    assert {taken[who] for who in ("advertiser", "agency")} == {409}, "staff have added the code before"
    taken |= {"advertiser": CREATED, "agency": CREATED}
    assert answers == {route: expected for route, (_, expected) in ROUTES.items()}


async def _put_back(suite: Any, tenants: Tenants) -> None:
    states = {"applied": "applied", "rejected": "rejected", "waiting": "waiting"}
    async with suite.units.begin() as work:
        for name, state in states.items():
            await work.execute(
                text("UPDATE participation SET state = :state WHERE id = CAST(:id AS uuid)"),
                {"state": state, "id": tenants.ids[name]},
            )


@pytest.mark.parametrize("path", LISTS)
async def test_lists_hold_own_rows_alone(tenants: Tenants, path: str) -> None:
    number = {caller: len((await tenants.callers[caller].get(path)).json()["items"]) for caller in CALLERS}

    everything, none = (2, 0) if path == "/v1/influencers" else (3, 0)
    own = 1 if path == "/v1/influencers" else 3
    themselves = 1 if path == "/v1/influencers" else 0
    assert number == row(everything, own, own, own, own, none, none, none, themselves)


async def test_an_agency_keeps_its_campaigns_when_the_advertiser_goes_to_another(suite: Any) -> None:
    advertiser, before, after = uuid4(), uuid4(), uuid4()
    people = [await suite.influencer(), await suite.influencer()]
    campaigns = [suite.campaign(advertiser_id=advertiser, agency_id=agency) for agency in (before, after)]
    moved = {"advertiser": advertiser, "agency": after}
    await suite.reads(*campaigns, _organisation(suite, "advertiser", advertiser, moved))
    participations = []
    for one, who in zip(campaigns, people, strict=True):
        body = {"campaign_id": str(one.id), "influencer_id": str(who)}
        participations.append((await suite.staff.post("/v1/participations", body)).json()["id"])

    for own, agency in enumerate((before, after)):
        caller = suite.caller("agency", agency)
        listed = (await caller.get("/v1/participations")).json()["items"]
        assert [one["id"] for one in listed] == [participations[own]]
        met = (await caller.get("/v1/influencers")).json()["items"]
        assert [one["id"] for one in met] == [str(people[own])]
        for number, status in ((own, OK), (1 - own, LOST)):
            for path in (
                f"/v1/participations/{participations[number]}",
                f"/v1/referral-codes?campaign_id={campaigns[number].id}",
            ):
                assert (await caller.send("GET", path)).status_code == status, path


async def test_bulk_approval_reaches_own_participations_alone(tenants: Tenants) -> None:
    body = {"ids": [tenants.ids["applied"]]}
    reasons = {}
    for caller in ("other advertiser", "other agency", "talent-agency", "influencer", "advertiser"):
        answer = await tenants.callers[caller].post(BULK, body)
        reasons[caller] = answer.json()["items"][0]["reason"] if answer.is_success else answer.status_code

    assert reasons == {
        "other advertiser": "unknown_participation",
        "other agency": "unknown_participation",
        "talent-agency": 403,
        "influencer": 403,
        "advertiser": None,
    }


async def test_who_pays_never_sees_birth_dates(suite: Any, tenants: Tenants) -> None:
    await suite.staff.patch(f"/v1/influencers/{tenants.ids['influencer']}", {"birth_date": "1990-01-01"})
    path = f"/v1/influencers/{tenants.ids['influencer']}"

    shown = {who: (await tenants.callers[who].get(path)).json()["birth_date"] for who in CALLERS[:5]}

    assert shown == {
        "staff": "1990-01-01", "advertiser": None, "agency": None,
        "talent-agency": "1990-01-01", "influencer": "1990-01-01",
    }  # fmt: skip


def test_no_route_is_left_out() -> None:
    parts = build(InfluencerSettings(kafka="unused", database="postgresql://unused"))
    served = {
        (method, "/".join("{}" if step.startswith("{") else step for step in route.path.split("/")))
        for router in parts.routers
        for route in router.routes
        for method in route.methods
    }

    named = {
        (method, "/".join("{}" if step.startswith("{") else step for step in path.split("?")[0].split("/")))
        for method, path in ROUTES
    }
    assert served == named | {("GET", path) for path in LISTS} | {("POST", BULK)}
