"""Profiles, contacts, payees, offers, selections and erasure over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from souk.influencer.store.tables import metadata

PROFILE = {
    "display_name": "Aki",
    "country": "JP",
    "region": "Kanto",
    "gender": "female",
    "birth_date": "1990-05-06",
    "categories": ["beauty"],
    "tags": ["spring"],
    "contact": {"email": "aki@creators.example", "locale": "ja"},
    "payee": {"country": "JP", "payment_mode": "automatic", "bank_account": "JP-12345678"},
}


async def test_signing_up_publishes_profile_contact_and_payee_apart(suite: Any) -> None:
    who = await suite.influencer(**PROFILE)

    profile, contact, payee = await suite.published()
    assert (profile.id, contact.id, payee.id) == (who, who, who)
    assert (contact.email, contact.locale) == ("aki@creators.example", "ja")
    assert (payee.payment_mode, payee.bank_account) == ("automatic", "JP-12345678")
    assert "1990" not in profile.model_dump_json()


async def test_the_same_id_and_content_again_is_the_same_influencer(suite: Any) -> None:
    body = PROFILE | {"id": str(uuid4())}
    first = await suite.staff.post("/v1/influencers", body)
    again = await suite.staff.post("/v1/influencers", body)
    other = await suite.staff.post("/v1/influencers", body | {"display_name": "Somebody else"})

    assert again.json() | {"followers": None} == first.json()
    assert (other.status_code, other.json()["reason"]) == (409, "conflict")
    assert len(await suite.published("influencer")) == 1


async def test_influencers_sign_themselves_up_under_the_subject_of_their_token(suite: Any) -> None:
    me = uuid4()
    own = suite.caller("influencer", user=me)

    for wrong in ({"id": str(uuid4())}, {"talent_agency_id": str(uuid4())}):
        assert (await own.post("/v1/influencers", PROFILE | wrong)).status_code in (403, 404), wrong
    both = {"items": [PROFILE, PROFILE]}
    assert (await own.post("/v1/influencers/import", both)).status_code == 422
    made = await own.post("/v1/influencers", PROFILE)
    again = await own.post("/v1/influencers", PROFILE)

    assert (made.status_code, made.json()["id"], again.json()["id"]) == (201, str(me), str(me))
    assert [state.id for state in await suite.published("influencer")] == [me]
    assert (await own.get(f"/v1/influencers/{me}/contact")).json()["email"] == "aki@creators.example"


@pytest.mark.parametrize("role", ["advertiser", "agency"])
async def test_who_pays_signs_nobody_up(suite: Any, role: Any) -> None:
    assert (await suite.caller(role).post("/v1/influencers", PROFILE)).status_code == 403


async def test_an_import_is_all_or_nothing_and_names_what_is_wrong(suite: Any) -> None:
    taken = await suite.influencer()
    items = [{"display_name": "a"}, {"display_name": "b", "id": str(taken)}]

    conflict = await suite.staff.post("/v1/influencers/import", {"items": items})
    invalid = await suite.staff.post(
        "/v1/influencers/import",
        {"items": [{"display_name": "c"}, {"display_name": "d", "country": "Japan"}]},
    )

    assert conflict.json()["errors"][0]["pointer"] == "/items/1/id"
    assert invalid.json()["errors"][0]["pointer"] == "/items/1/country"
    assert len((await suite.staff.get("/v1/influencers")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("display_name", " "),
        ("categories", ["a", "b", "c", "d"]),
        ("tags", [str(n) for n in range(16)]),
        ("birth_date", "2030-01-01"),
        ("birth_date", "1066-10-14"),
        ("country", "jp"),
        ("gender", "unknown"),
        ("contact", {"email": "no address"}),
        ("contact", {"push": [{"endpoint": "javascript:alert(1)", "p256dh": "x", "auth": "y"}]}),
        ("surprise", 1),
    ],
)
async def test_bad_fields_are_named_and_change_nothing(suite: Any, field: str, value: object) -> None:
    answer = await suite.staff.post("/v1/influencers", {"display_name": "x"} | {field: value})

    assert (answer.status_code, answer.json()["reason"]) == (422, "invalid")
    assert answer.json()["errors"][0]["pointer"].startswith(f"/{field}")
    assert await suite.published() == []


async def test_an_edit_names_the_version_it_was_made_on(suite: Any) -> None:
    path = f"/v1/influencers/{await suite.influencer(**PROFILE)}"

    changed = await suite.staff.patch(path, {"region": None, "tags": ["a", "a"]}, version=1)
    stale = await suite.staff.patch(path, {"region": "Kansai"}, version=1)
    same = await suite.staff.patch(path, {"tags": ["a"]}, version=2)

    assert (changed.json()["version"], changed.json()["region"], changed.json()["tags"]) == (2, None, ["a"])
    assert changed.headers["etag"] == '"2"'
    assert (stale.status_code, same.json()["version"]) == (412, 2)


async def test_bank_data_is_written_and_only_shown_masked(suite: Any) -> None:
    who = await suite.influencer(**PROFILE)
    path = f"/v1/influencers/{who}/payee"

    missing = await suite.staff.send("PUT", path, json={})
    put = await suite.staff.put(
        path, {"country": "JP", "bank_account": "0001-7654321", "tax_id": "T1"}, version=1
    )
    shown = await suite.staff.get(path)

    assert missing.status_code == 428
    assert put.json() == shown.json()
    assert (shown.json()["bank_account"], shown.json()["tax_id"]) == ("****4321", "****")
    assert (await suite.published("payee"))[-1].bank_account == "0001-7654321"


async def test_the_list_filters_by_reach_and_pages_without_gap(suite: Any) -> None:
    people = await suite.influencers(5)
    accounts = [suite.account(who, followers=n * 100, usual_likes=n) for n, who in enumerate(people)]
    await suite.reads(*accounts)

    found = (await suite.staff.get("/v1/influencers", followers_min=200, followers_max=300)).json()["items"]
    pages, cursor = [], None
    while True:
        page = (
            await suite.staff.get("/v1/influencers", limit=2, **({"cursor": cursor} if cursor else {}))
        ).json()
        pages += [item["id"] for item in page["items"]]
        if (cursor := page["next"]) is None:
            break

    assert [(item["followers"], item["engagement"]) for item in found] == [(200, 100), (300, 100)]
    assert pages == [str(who) for who in people]


async def test_the_selection_sorts_filters_and_remembers_deselections(suite: Any) -> None:
    people = await suite.influencers(3)
    young = await suite.influencer(birth_date="2001-01-01", gender="female", talent_agency_id=None)
    campaign = suite.campaign(lifecycle="draft", approved_at=None)
    await suite.reads(campaign, *(suite.account(who, followers=n) for n, who in enumerate(people)))
    path = f"/v1/selections/{campaign.id}"

    answer = await suite.staff.post(
        f"{path}/deselect", {"influencer_ids": [str(people[0]), str(uuid4()), str(people[0])]}
    )
    by_followers = (await suite.staff.get(path, sort="followers", order="desc")).json()["items"]
    by_age = (await suite.staff.get(path, sort="age", order="desc", limit=1)).json()
    rest = (await suite.staff.get(path, sort="age", order="desc", limit=3, cursor=by_age["next"])).json()
    off = (await suite.staff.get(path, state="unavailable")).json()["items"]
    await suite.staff.post(f"{path}/reselect", {"influencer_ids": [str(people[0])]})

    assert [(item["state"], item["reason"]) for item in answer.json()["items"]] == [
        ("unavailable", None), (None, "unknown_influencer"), ("unavailable", None),
    ]  # fmt: skip
    assert [item["influencer_id"] for item in by_followers] == [str(i) for i in (*people[::-1], young)]
    assert (by_age["items"][0]["influencer_id"], by_age["items"][0]["age"]) == (str(young), 16)
    assert len(rest["items"]) == 3
    assert [item["influencer_id"] for item in off] == [str(people[0])]
    assert [one.state for one in await suite.published("participation")] == ["unavailable", "available"]


async def test_who_has_joined_can_not_be_deselected(suite: Any) -> None:
    campaign, who = suite.campaign(), await suite.influencer()
    await suite.reads(campaign)
    await suite.staff.post("/v1/participations", {"campaign_id": str(campaign.id), "influencer_id": str(who)})

    answer = await suite.staff.post(f"/v1/selections/{campaign.id}/deselect", {"influencer_ids": [str(who)]})

    assert answer.json()["items"][0]["reason"] == "wrong_state"


async def test_offers_are_what_an_influencer_may_see(suite: Any) -> None:
    who = await suite.influencer(region="Kanto")
    me = suite.caller("influencer", user=who)
    shown = suite.campaign(audience={"regions": ["Kanto"]})
    hidden = [
        suite.campaign(lifecycle="draft", approved_at=None),
        suite.campaign(audience={"regions": ["Kansai"]}),
        suite.campaign(visibility="closed", created_at=datetime(2017, 9, 1, tzinfo=UTC)),
        suite.campaign(ends_at=datetime(2017, 9, 14, tzinfo=UTC)),
        deselected := suite.campaign(),
    ]
    await suite.reads(shown, *hidden)
    await suite.staff.post(f"/v1/selections/{deselected.id}/deselect", {"influencer_ids": [str(who)]})

    offers = (await me.get("/v1/offers")).json()["items"]
    detail = await me.get(f"/v1/offers/{shown.id}")
    refused = [
        (await me.post("/v1/participations", {"campaign_id": str(each.id)})).status_code for each in hidden
    ]
    asked = {"campaign_id": str(deselected.id), "influencer_id": str(who)}
    explained = await me.get("/v1/eligibility", **asked)

    assert (explained.status_code, explained.json()["reason"]) == (404, "deselected")
    assert [(offer["campaign_id"], offer["state"], offer["status"]) for offer in offers] == [
        (str(shown.id), "available", "upcoming")
    ]
    assert detail.json() == offers[0]
    assert offers[0]["cap"] == "40.000000"
    assert not {"budget", "margin", "cost"} & offers[0].keys()
    assert [(await me.get(f"/v1/offers/{each.id}")).status_code for each in hidden] == [404] * 5
    assert refused == [404, 409, 404, 409, 404]


async def test_eligibility_is_explained_with_what_was_decided(suite: Any) -> None:
    who = await suite.influencer(**PROFILE)
    campaign = suite.campaign(audience={"regions": ["Kansai"], "age_max": 20})
    await suite.reads(campaign)
    join = {"campaign_id": str(campaign.id), "influencer_id": str(who)}
    await suite.staff.post("/v1/participations", join)

    found = (await suite.staff.get("/v1/eligibility", **join)).json()

    assert (found["eligible"], found["failed"], found["rule_version"]) == (False, ["region", "age"], 1)
    assert found["inputs"]["influencer"]["age"] == 27
    [decision] = found["decisions"]
    assert (decision["effect"], decision["inputs"]) == ("refused", found["inputs"])


async def test_a_refusal_and_its_record_are_one_unit_of_work(suite: Any) -> None:
    who, campaign = await suite.influencer(), suite.campaign(audience={"regions": ["Kansai"]})
    await suite.reads(campaign)
    join = {"campaign_id": str(campaign.id), "influencer_id": str(who)}

    refused = await suite.staff.post("/v1/participations", join, key="once")
    units = await suite.rows("SELECT xmin::text FROM idempotency_key WHERE key = 'once'")
    recorded = await suite.rows("SELECT xmin::text FROM decision WHERE effect = 'refused'")
    await suite.staff.patch(f"/v1/influencers/{who}", {"region": "Kansai"})
    again = await suite.staff.post("/v1/participations", join, key="once")
    anew = await suite.staff.post("/v1/participations", join)

    assert (refused.status_code, refused.json()["failed"]) == (409, ["region"])
    assert recorded == units != []
    assert (again.status_code, again.json()) == (409, refused.json()), "the same request has the same answer"
    assert anew.json()["state"] == "joined"


async def test_an_erased_person_is_nowhere(suite: Any) -> None:
    who = await suite.influencer(**PROFILE)
    campaign = suite.campaign(audience={"genders": ["female"]})
    account = suite.account(who, handle="aki-handle")
    await suite.reads(campaign, account)
    join = {"campaign_id": str(campaign.id), "influencer_id": str(who)}
    await suite.staff.post("/v1/participations", join)

    erased = await suite.staff.delete(f"/v1/influencers/{who}")
    again = await suite.staff.delete(f"/v1/influencers/{who}")
    await suite.reads(account.model_copy(update={"version": 2}))

    assert (erased.status_code, again.status_code) == (204, 204)
    assert (await suite.staff.get(f"/v1/influencers/{who}")).status_code == 404
    states = {type(one).__name__: one for one in await suite.published()}
    assert states["Participation"].state == "withdrawn"
    assert all(
        states[name].erased and states[name].version == 2 for name in ("Influencer", "Contact", "Payee")
    )
    tables = [row.relname for row in await suite.rows("SELECT relname FROM pg_stat_user_tables")]
    for table in tables:
        rows = [str(tuple(row)) for row in await suite.rows(f'SELECT * FROM "{table}"')]
        for trace in ("Aki", "aki@", "aki-handle", "JP-12345678", "1990", "female"):
            left = [row for row in rows if trace in row and not (table == "campaign" and trace == "female")]
            assert left == [], (table, trace)


async def test_nothing_moves_the_participation_of_an_erased_person(suite: Any) -> None:
    who, campaign = await suite.influencer(), suite.campaign(type="ecommerce", approval_mode="manual")
    await suite.reads(campaign)
    join = {"campaign_id": str(campaign.id), "influencer_id": str(who)}
    path = f"/v1/participations/{(await suite.staff.post('/v1/participations', join)).json()['id']}"
    await suite.staff.post(f"{path}/reject")
    await suite.staff.delete(f"/v1/influencers/{who}")

    moved = await suite.staff.post(f"{path}/apply")
    edited = await suite.staff.patch(path, {"commission": "12"})

    assert (moved.status_code, moved.json()["reason"]) == (404, "unknown_participation")
    assert (edited.status_code, edited.json()["reason"]) == (404, "unknown_participation")
    assert (await suite.staff.get(path)).json()["state"] == "rejected"


async def test_an_account_known_before_its_influencer_counts_once_they_arrive(suite: Any) -> None:
    who = uuid4()
    campaign = suite.campaign(audience={"platforms": ["youtube"], "followers_min": 5})
    await suite.reads(suite.account(who, followers=5), campaign)
    await suite.influencer(id=str(who))
    suite.now(datetime(2017, 9, 14, tzinfo=UTC) + timedelta(days=1))

    listed = (await suite.staff.get(f"/v1/selections/{campaign.id}")).json()["items"]

    assert [(item["influencer_id"], item["followers"]) for item in listed] == [(str(who), 5)]


async def test_the_tables_in_the_code_are_those_of_the_migrations(suite: Any) -> None:
    rows = await suite.rows(
        "SELECT table_name, column_name, is_nullable = 'YES' AS nullable "
        "FROM information_schema.columns WHERE table_schema = 'public'"
    )
    indexes = {row.indexname for row in await suite.rows("SELECT indexname FROM pg_indexes")}

    for table in metadata.sorted_tables:
        columns = {(row.column_name, row.nullable) for row in rows if row.table_name == table.name}
        assert columns == {(column.name, column.nullable) for column in table.columns}, table.name
        assert {index.name for index in table.indexes} <= indexes


@pytest.mark.parametrize("bound", ["engagement_min", "engagement_max", "followers_max"])
async def test_a_bound_that_no_column_could_hold_is_named(suite: Any, bound: str) -> None:
    answer = await suite.staff.get("/v1/influencers", **{bound: 10**16})

    assert (answer.status_code, answer.json()["reason"]) == (422, "invalid")
    assert (await suite.staff.get("/v1/influencers", **{bound: 2**31 - 1})).status_code == 200
