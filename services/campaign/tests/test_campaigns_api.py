"""Campaigns over HTTP, on a real database: what callers see, what they may do, what is published."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from souk.contracts.topics.campaigns import Campaign
from souk.contracts.topics.terms import Terms

UPCOMING = datetime(2017, 9, 18, tzinfo=UTC)
ONGOING = datetime(2017, 9, 25, tzinfo=UTC)
FINISHED = datetime(2017, 10, 17, tzinfo=UTC)


def reason(response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()["reason"]


def pointers(response) -> set[str]:
    return {error["pointer"] for error in response.json()["errors"]}


async def test_a_draft_needs_hardly_anything(suite):
    advertiser = await suite.organisation("advertiser")

    made = await suite.staff.post("/v1/campaigns", {"type": "url", "advertiser_id": str(advertiser)})

    assert made.status_code == 201
    assert made.headers["Location"] == f"/v1/campaigns/{made.json()['id']}"
    assert made.headers["ETag"] == '"1"'
    assert made.json()["status"] == "draft"
    assert made.json()["margin"] == "33.00"
    assert made.json()["rates"]["view"] == "0.000000"


async def test_an_advertiser_drafts_for_itself(suite):
    advertiser = await suite.organisation("advertiser")

    made = await suite.caller("advertiser", advertiser).post("/v1/campaigns", {"type": "social"})

    assert made.json()["advertiser_id"] == str(advertiser)
    assert "margin" not in made.json()
    assert "agency_margin" not in made.json()


async def test_amounts_are_decimal_strings_and_percentages_basis_points(suite):
    made = await suite.campaign(
        rates={"view": "0.000001", "commission": "12.5"}, cap="2500", budget="12.345678", margin="0"
    )

    assert made["rates"]["view"] == "0.000001"
    assert made["rates"]["commission"] == "12.50"
    assert (made["cap"], made["budget"]) == ("2500.000000", "12.345678")
    assert made["margin"] == "0.00"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"rates": {"view": "0.0000001"}}, "/rates/view"),
        ({"rates": {"view": "-1"}}, "/rates/view"),
        ({"rates": {"view": 1}}, "/rates/view"),
        ({"rates": {"commission": "100.01"}}, "/rates/commission"),
        ({"rates": {"smile": "1"}}, "/rates/smile"),
        ({"margin": "100"}, "/margin"),
        ({"margin": "33.333"}, "/margin"),
        ({"agency_margin": "-1"}, "/agency_margin"),
        ({"budget": "1e6"}, "/budget"),
        ({"cap": "0"}, "/cap"),
        ({"country": "XX"}, "/country"),
        ({"time_zone": "America/Gotham"}, "/time_zone"),
        ({"currency": "BTC"}, "/currency"),
        ({"start_date": "1999-12-31"}, "/start_date"),
        ({"product_url": "javascript:alert(1)"}, "/product_url"),
        ({"landing_url": "https://user:pass@shop.test"}, "/landing_url"),
        ({"hashtags": ["# "]}, "/hashtags/0"),
        ({"hashtags": ["x"] * 31}, "/hashtags"),
        ({"title": "x" * 201}, "/title"),
        ({"audience": {"age_min": 30, "age_max": 20}}, "/audience/age_max"),
        ({"audience": {"platforms": ["myspace"]}}, "/audience/platforms/0"),
        ({"hold_days": 366}, "/hold_days"),
        ({"sales_pic_id": str(uuid4())}, "/sales_pic_id"),
        ({"wat": 1}, "/wat"),
        ({"type": "viral"}, "/type"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_drafted(suite, fields, pointer):
    advertiser = await suite.organisation("advertiser")
    body = {"type": "social", "advertiser_id": str(advertiser)} | fields

    refused = await suite.staff.post("/v1/campaigns", body)

    assert refused.status_code == 422
    assert reason(refused) == "invalid"
    assert pointers(refused) == {pointer}
    assert (await suite.staff.get("/v1/campaigns")).json()["items"] == []


async def test_dates_out_of_order_are_refused_in_a_draft_too(suite):
    advertiser = await suite.organisation("advertiser")
    body = {"type": "url", "advertiser_id": str(advertiser)}

    refused = await suite.staff.post(
        "/v1/campaigns", body | {"start_date": "2017-10-02", "end_date": "2017-10-01"}
    )

    assert (refused.status_code, reason(refused)) == (422, "invalid_period")


async def test_a_sent_again_draft_is_one_campaign(suite):
    advertiser = await suite.organisation("advertiser")
    body = {"type": "social", "advertiser_id": str(advertiser)}

    first = await suite.staff.post("/v1/campaigns", body, key="once")
    again = await suite.staff.post("/v1/campaigns", body, key="once")

    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len((await suite.staff.get("/v1/campaigns")).json()["items"]) == 1


async def test_an_edit_needs_the_version_that_it_was_made_on(suite):
    drafted = await suite.campaign()
    path = f"/v1/campaigns/{drafted['id']}"

    unnamed = await suite.staff.send("PATCH", path, json={"title": "x"})
    edited = await suite.staff.patch(path, {"title": "Winter laughs"}, version=1)
    stale = await suite.staff.patch(path, {"title": "Spring laughs"}, version=1)

    assert (unnamed.status_code, reason(unnamed)) == (428, "if_match_required")
    assert (edited.status_code, edited.headers["ETag"]) == (200, '"2"')
    assert (stale.status_code, reason(stale)) == (412, "version_mismatch")


async def test_an_edit_that_changes_nothing_makes_no_version(suite):
    drafted = await suite.campaign()

    edited = await suite.staff.patch(f"/v1/campaigns/{drafted['id']}", {"title": drafted["title"]})

    assert edited.headers["ETag"] == '"1"'
    assert [event for event, _ in await suite.published()].count("campaign.changed") == 0


async def test_null_takes_a_field_back_but_not_type_or_advertiser(suite):
    drafted = await suite.campaign(margin="0", audience={"platforms": ["youtube"], "age_min": 18})
    path = f"/v1/campaigns/{drafted['id']}"

    edited = await suite.staff.patch(path, {"margin": None, "budget": None, "audience": {"age_min": None}})
    refused = await suite.staff.patch(path, {"type": None, "advertiser_id": None})

    assert (edited.json()["margin"], edited.json()["budget"]) == ("33.00", None)
    assert edited.json()["audience"]["platforms"] == ["youtube"]
    assert edited.json()["audience"]["age_min"] is None
    assert pointers(refused) == {"/type", "/advertiser_id"}


async def test_approval_names_everything_that_is_missing_at_once(suite):
    advertiser = await suite.organisation("advertiser")
    drafted = await suite.staff.post("/v1/campaigns", {"type": "social", "advertiser_id": str(advertiser)})

    refused = await suite.staff.post(f"/v1/campaigns/{drafted.json()['id']}/approve")

    assert (refused.status_code, reason(refused)) == (422, "incomplete_campaign")
    assert {"/title", "/country", "/budget", "/hashtags", "/rates"} <= pointers(refused)
    assert (await suite.staff.get("/v1/campaigns")).json()["items"][0]["status"] == "draft"


async def test_an_approved_campaign_is_published_with_all_that_readers_need(suite):
    approved = await suite.campaign(
        approved=True, margin="20", cap="2500", pre_launch_date="2017-09-15", country="JP", time_zone=None
    )
    states = [state for _, state in await suite.published()]

    campaign = [state for state in states if isinstance(state, Campaign)][-1]
    assert approved["status"] == "upcoming"
    assert (campaign.version, campaign.lifecycle, campaign.budget_version) == (2, "approved", 1)
    assert campaign.time_zone == "Asia/Tokyo"
    assert campaign.opens_at == datetime(2017, 9, 14, 15, tzinfo=UTC)
    assert campaign.starts_at == datetime(2017, 9, 19, 15, tzinfo=UTC)
    assert campaign.ends_at == datetime(2017, 10, 15, 15, tzinfo=UTC)
    assert campaign.track_posts
    assert campaign.hashtags == ("comedy", "funny", "humor")
    assert (campaign.cap, campaign.rates.view) == (2_500_000_000, 500)
    terms = [state for state in states if isinstance(state, Terms)]
    assert [(one.id, one.version, one.margin) for one in terms] == [(campaign.id, 1, 2_000)]


async def test_a_campaign_names_the_terms_that_left_before_or_with_it(suite):
    agency = await suite.organisation("agency")
    advertiser = await suite.organisation("advertiser")
    drafted = await suite.campaign(advertiser_id=advertiser)
    path = f"/v1/campaigns/{drafted['id']}"

    await suite.staff.patch(path, {"margin": "20", "title": "Other terms"})
    await suite.staff.patch(path, {"title": "The same terms"})
    await suite.staff.patch(f"/v1/organisations/{advertiser}", {"agency_id": str(agency)})
    await suite.staff.post(f"{path}/approve")

    published = [state for _, state in await suite.published()]
    campaigns = [state for state in published if isinstance(state, Campaign)]
    assert [one.terms_version for one in campaigns] == [1, 2, 2, 3, 3]
    assert [one.version for one in published if isinstance(one, Terms)] == [1, 2, 3]


async def test_margins_are_on_the_private_topic_alone(suite):
    approved = await suite.campaign(approved=True, margin="12.34")

    public = [state for _, state in await suite.published() if not isinstance(state, Terms)]

    assert approved["margin"] == "12.34"
    assert all("1234" not in state.model_dump_json(include={"margin", "rates", "budget"}) for state in public)
    assert "margin" not in Campaign.model_fields


async def test_approval_is_staffs(suite):
    advertiser = await suite.organisation("advertiser")
    drafted = await suite.campaign(advertiser_id=advertiser)

    refused = await suite.caller("advertiser", advertiser).post(f"/v1/campaigns/{drafted['id']}/approve")

    assert (refused.status_code, reason(refused)) == (403, "forbidden")


async def test_a_campaign_is_approved_once_and_a_retry_with_its_key_succeeds(suite):
    drafted = await suite.campaign()
    path = f"/v1/campaigns/{drafted['id']}/approve"

    first = await suite.staff.post(path, key="approval")
    retried = await suite.staff.post(path, key="approval")
    again = await suite.staff.post(path)

    assert first.status_code == retried.status_code == 200
    assert (again.status_code, reason(again)) == (409, "already_approved")


async def test_a_campaign_whose_end_has_passed_is_not_approved(suite):
    drafted = await suite.campaign()
    suite.now(FINISHED)

    refused = await suite.staff.post(f"/v1/campaigns/{drafted['id']}/approve")

    assert (reason(refused), pointers(refused)) == ("incomplete_campaign", {"/end_date"})


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"rates": {"view": "1"}}, "fixed_since_approval"),
        ({"margin": "10"}, "fixed_since_approval"),
        ({"currency": "EUR"}, "fixed_since_approval"),
        ({"type": "url"}, "fixed_since_approval"),
        ({"budget": "999999.999999"}, "only_may_rise"),
        ({"cap": "1"}, "only_may_rise"),
        ({"start_date": "2017-09-21"}, "start_fixed"),
        ({"end_date": "2017-10-14"}, "invalid_period"),
        ({"hashtags": ["one"]}, "incomplete_campaign"),
        ({"title": ""}, "incomplete_campaign"),
    ],
)
async def test_what_is_fixed_stays_as_it_was(suite, changes, refusal):
    approved = await suite.campaign(approved=True)
    suite.now(ONGOING)
    path = f"/v1/campaigns/{approved['id']}"

    refused = await suite.staff.patch(path, changes)

    assert reason(refused) == refusal
    after = (await suite.staff.get(path)).json()
    assert after | {"status": approved["status"]} == approved


async def test_a_raise_makes_a_new_budget_version(suite):
    approved = await suite.campaign(approved=True, cap="100")

    raised = await suite.staff.patch(f"/v1/campaigns/{approved['id']}", {"budget": "1000000.000001"})
    lifted = await suite.staff.patch(f"/v1/campaigns/{approved['id']}", {"cap": None})

    assert (raised.json()["budget_version"], lifted.json()["budget_version"]) == (2, 2)
    events = [event for event, state in await suite.published() if isinstance(state, Campaign)]
    assert events == ["campaign.drafted", "campaign.approved", "campaign.raised", "campaign.raised"]


async def test_a_stopped_campaign_ends_with_its_day(suite):
    approved = await suite.campaign(approved=True)
    path = f"/v1/campaigns/{approved['id']}"
    early = await suite.staff.post(f"{path}/stop")
    suite.now(datetime(2017, 9, 25, 2, tzinfo=UTC))

    stopped = await suite.staff.post(f"{path}/stop")
    again = await suite.staff.post(f"{path}/stop")

    assert reason(early) == "invalid_period"
    assert stopped.json()["end_date"] == "2017-09-24"  # it is still the 24th in New York
    assert stopped.json()["ends_at"] == "2017-09-25T04:00:00Z"
    assert again.json() == stopped.json()
    assert [event for event, _ in await suite.published()][-1] == "campaign.stopped"
    suite.now(datetime(2017, 9, 25, 4, tzinfo=UTC))
    assert (await suite.staff.get(f"{path}/status")).json()["status"] == "finished"
    assert reason(await suite.staff.post(f"{path}/stop")) == "finished"


async def test_a_draft_can_not_be_stopped(suite):
    drafted = await suite.campaign()

    refused = await suite.staff.post(f"/v1/campaigns/{drafted['id']}/stop")

    assert (refused.status_code, reason(refused)) == (409, "not_approved")


async def test_a_clone_is_a_draft_with_the_same_terms(suite):
    approved = await suite.campaign(approved=True, margin="5", cap="10")

    cloned = await suite.staff.post(f"/v1/campaigns/{approved['id']}/clone")

    own = {"id", "version", "approved_at", "opens_at", "status", "budget_version"}
    assert cloned.status_code == 201
    assert cloned.json()["status"] == "draft"
    assert cloned.json()["id"] != approved["id"]
    assert {k: v for k, v in cloned.json().items() if k not in own} == {
        k: v for k, v in approved.items() if k not in own
    }


async def test_a_list_is_filtered_paged_and_newest_first(suite):
    advertiser = await suite.organisation("advertiser")
    titles = ["50% off", "Autumn laughs", "autumn leaves", "Spring"]
    for at, title in enumerate(titles):
        suite.now(datetime(2017, 9, 14, at + 1, tzinfo=UTC))
        await suite.campaign(title=title, advertiser_id=advertiser)
    await suite.campaign(title="Autumn elsewhere")

    async def found(**query):
        return [one["title"] for one in (await suite.staff.get("/v1/campaigns", **query)).json()["items"]]

    mine = {"advertiser_id": str(advertiser)}
    assert await found(**mine) == titles[::-1]
    assert await found(**mine, keyword="AUTUMN") == ["autumn leaves", "Autumn laughs"]
    assert await found(keyword="0%") == ["50% off"]
    assert await found(**mine, type="url") == []
    first = (await suite.staff.get("/v1/campaigns", **mine, limit=3)).json()
    rest = (await suite.staff.get("/v1/campaigns", **mine, limit=3, cursor=first["next"])).json()
    assert [one["title"] for one in first["items"] + rest["items"]] == titles[::-1]
    assert rest["next"] is None


async def test_an_agency_sees_and_sets_its_margin_and_the_advertiser_does_not(suite):
    agency = await suite.organisation("agency")
    advertiser = await suite.organisation("advertiser", agency_id=agency)
    drafted = await suite.campaign(advertiser_id=advertiser)
    path = f"/v1/campaigns/{drafted['id']}"

    set_by_agency = await suite.caller("agency", agency).patch(path, {"agency_margin": "10"})
    by_agency = await suite.caller("agency", agency).patch(path, {"margin": "10"})
    by_advertiser = await suite.caller("advertiser", advertiser).patch(path, {"agency_margin": "0"})
    seen = (await suite.caller("advertiser", advertiser).get(path)).json()

    assert set_by_agency.json()["agency_margin"] == "10.00"
    assert "margin" not in set_by_agency.json()
    assert (by_agency.status_code, pointers(by_agency)) == (403, {"/margin"})
    assert (by_advertiser.status_code, pointers(by_advertiser)) == (403, {"/agency_margin"})
    assert not {"margin", "agency_margin", "hubspot_deal_id", "sales_pic_id"} & seen.keys()
    terms = [state for _, state in await suite.published() if isinstance(state, Terms)]
    assert [(one.version, one.agency_margin, one.agency_id) for one in terms] == [
        (1, 0, agency),
        (2, 1_000, agency),
    ]


async def test_drafts_go_with_their_advertiser_to_another_agency_and_approved_campaigns_stay(suite):
    old, new = await suite.organisation("agency"), await suite.organisation("agency")
    advertiser = await suite.organisation("advertiser", agency_id=old)
    draft = await suite.campaign(advertiser_id=advertiser)
    approved = await suite.campaign(advertiser_id=advertiser, agency_margin="20", approved=True)
    await suite.staff.patch(f"/v1/campaigns/{draft['id']}", {"agency_margin": "10"})

    await suite.staff.patch(f"/v1/organisations/{advertiser}", {"agency_id": str(new)})
    cloned = (await suite.staff.post(f"/v1/campaigns/{approved['id']}/clone")).json()
    moved = (await suite.staff.get(f"/v1/campaigns/{draft['id']}")).json()

    assert (moved["agency_margin"], cloned["agency_margin"]) == ("0.00", "0.00")

    async def seen_by(agency: UUID):
        items = (await suite.caller("agency", agency).get("/v1/campaigns")).json()["items"]
        return [one["id"] for one in items]

    assert await seen_by(old) == [approved["id"]]
    assert set(await seen_by(new)) == {draft["id"], cloned["id"]}
    newest = {state.id: state for _, state in await suite.published() if isinstance(state, Terms)}
    assert newest[UUID(draft["id"])].agency_id == new


async def test_a_person_in_charge_works_for_the_platform(suite):
    platform = await suite.organisation("platform")
    person = await suite.staff.post(
        "/v1/users", {"organisation_id": str(platform), "email": "ann@souk.test", "name": "Ann"}
    )

    made = await suite.campaign(sales_pic_id=person.json()["id"])

    assert made["sales_pic_id"] == person.json()["id"]


async def test_an_advertiser_that_is_no_advertiser_of_the_callers_is_unknown(suite):
    agency = await suite.organisation("agency")
    elsewhere = await suite.organisation("advertiser")
    inactive = await suite.organisation("advertiser")
    await suite.staff.patch(f"/v1/organisations/{inactive}", {"active": False})

    for caller, advertiser in (
        (suite.caller("agency", agency), elsewhere),
        (suite.caller("advertiser", await suite.organisation("advertiser")), elsewhere),
        (suite.staff, agency),
        (suite.staff, inactive),
        (suite.staff, uuid4()),
    ):
        refused = await caller.post("/v1/campaigns", {"type": "url", "advertiser_id": str(advertiser)})
        assert (refused.status_code, reason(refused)) == (404, "unknown_organisation")
