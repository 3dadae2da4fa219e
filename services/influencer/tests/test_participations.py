"""Joining, applying, choosing, approving, withdrawing (domain.md §3)."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from souk.contracts.ids import participation_id
from souk.contracts.topics.campaigns import Campaign
from souk.influencer.store.campaigns import hold

JOINING = datetime(2017, 9, 18, 12, tzinfo=UTC)
FINISHED = datetime(2017, 10, 16, 4, tzinfo=UTC)


async def _join(suite: Any, campaign: Campaign, influencer: UUID, **more: Any) -> Any:
    body = {"campaign_id": str(campaign.id), "influencer_id": str(influencer)} | more
    return await suite.staff.post("/v1/participations", body)


async def test_auto_approval_joins_at_once_and_twice_is_one_participation(suite: Any) -> None:
    campaign, who = suite.campaign(), await suite.influencer()
    await suite.reads(campaign)
    suite.now(JOINING)

    first = await _join(suite, campaign, who)
    second = await _join(suite, campaign, who)

    assert first.status_code == 201, first.text
    assert first.json()["state"] == "joined"
    assert first.json()["id"] == str(participation_id(campaign.id, who))
    assert second.json() == first.json()
    [joined] = await suite.published("participation")
    assert (joined.state, joined.joined_at, joined.version) == ("joined", JOINING, 1)


async def test_manual_approval_goes_by_applied_and_every_allowed_move(suite: Any) -> None:
    campaign, who = suite.campaign(approval_mode="manual"), await suite.influencer()
    await suite.reads(campaign)
    suite.now(JOINING)
    path = f"/v1/participations/{(await _join(suite, campaign, who)).json()['id']}"

    states = [
        (await suite.staff.post(f"{path}/{move}")).json()["state"]
        for move in ("review", "apply", "reject", "apply", "review", "approve", "withdraw")
    ]

    assert states == ["reviewing", "applied", "rejected", "applied", "reviewing", "joined", "withdrawn"]
    events = [state.state for state in await suite.published("participation")]
    assert events == ["applied", *states]
    refused = await suite.staff.post(f"{path}/approve")
    assert (refused.status_code, refused.json()["reason"]) == (409, "wrong_state")


async def test_rejected_goes_back_to_applied_only(suite: Any) -> None:
    campaign, who = suite.campaign(approval_mode="manual"), await suite.influencer()
    await suite.reads(campaign)
    path = f"/v1/participations/{(await _join(suite, campaign, who)).json()['id']}"
    await suite.staff.post(f"{path}/reject")

    for move in ("approve", "review", "withdraw"):
        assert (await suite.staff.post(f"{path}/{move}")).json()["reason"] == "wrong_state"
    assert (await _join(suite, campaign, who)).json()["reason"] == "wrong_state"
    assert (await suite.staff.post(f"{path}/apply")).json()["state"] == "applied"


@pytest.mark.parametrize(
    ("fields", "at", "reason", "status"),
    [
        ({"opens_at": JOINING + timedelta(microseconds=1)}, JOINING, "not_open", 409),
        ({}, FINISHED, "finished", 409),
        ({"audience": {"regions": ["Kanto"]}}, JOINING, "not_eligible", 409),
        (
            {"visibility": "closed", "created_at": datetime(2017, 9, 1, tzinfo=UTC)},
            JOINING,
            "closed_campaign",
            404,
        ),
        ({"lifecycle": "draft", "approved_at": None}, JOINING, "not_approved", 409),
    ],
)
async def test_a_refusal_names_its_reason_and_changes_nothing(
    suite: Any, fields: dict[str, Any], at: datetime, reason: str, status: int
) -> None:
    campaign, who = suite.campaign(**fields), await suite.influencer()
    await suite.reads(campaign)
    suite.now(at)

    refused = await _join(suite, campaign, who)

    assert (refused.status_code, refused.json()["reason"]) == (status, reason), refused.text
    assert await suite.published("participation") == []
    decided = await suite.rows("SELECT effect, failed FROM decision")
    kept = {"not_eligible": [("refused", ["region"])], "closed_campaign": [("refused", ["closed"])]}
    assert [tuple(row) for row in decided] == kept.get(reason, [])


async def test_a_draft_is_unknown_to_influencers(suite: Any) -> None:
    campaign, who = suite.campaign(lifecycle="draft", approved_at=None), await suite.influencer()
    await suite.reads(campaign)

    answer = await suite.caller("influencer", user=who).post(
        "/v1/participations", {"campaign_id": str(campaign.id)}
    )

    assert (answer.status_code, answer.json()["reason"]) == (404, "unknown_campaign")


async def test_nobody_joins_an_exhausted_budget_until_it_is_raised(suite: Any) -> None:
    campaign, who = suite.campaign(), await suite.influencer()
    await suite.reads(campaign, suite.budget(campaign, status="exhausted"))
    suite.now(JOINING)

    refused = await _join(suite, campaign, who)
    await suite.reads(campaign.model_copy(update={"version": 2, "budget_version": 2}))
    raised = await _join(suite, campaign, who)

    assert refused.json()["reason"] == "over_budget"
    assert raised.json()["state"] == "joined", "an older verdict can't undo a raise"


async def test_a_verdict_on_a_newer_budget_than_ours_counts(suite: Any) -> None:
    campaign, who = suite.campaign(), await suite.influencer()
    await suite.reads(campaign, suite.budget(campaign, status="exhausted", budget_version=2))

    assert (await _join(suite, campaign, who)).json()["reason"] == "over_budget"


async def test_approving_joins_so_it_is_refused_when_over_budget(suite: Any) -> None:
    campaign, who = suite.campaign(approval_mode="manual"), await suite.influencer()
    await suite.reads(campaign)
    path = f"/v1/participations/{(await _join(suite, campaign, who)).json()['id']}"
    await suite.reads(suite.budget(campaign, status="exhausted"))

    refused = await suite.staff.post(f"{path}/approve")

    assert refused.json()["reason"] == "over_budget"
    assert (await suite.staff.get(path)).json()["state"] == "applied"


async def test_several_matching_accounts_wait_for_a_choice(suite: Any) -> None:
    campaign = suite.campaign(type="social", track_posts=True, audience={"platforms": ["youtube"]})
    who = await suite.influencer()
    one, two = suite.account(who), suite.account(who, followers=7)
    stale, elsewhere = suite.account(who, connection="stale"), suite.account(who, platform="tiktok")
    await suite.reads(campaign, one, two, stale, elsewhere)
    suite.now(JOINING)

    waiting = await _join(suite, campaign, who)
    path = f"/v1/participations/{waiting.json()['id']}/account"
    wrong = [
        (await suite.staff.post(path, {"account_id": str(account)})).json()["reason"]
        for account in (stale.id, elsewhere.id, uuid4())
    ]
    chosen = await suite.staff.post(path, {"account_id": str(two.id)})

    assert waiting.json()["state"] == "waiting"
    assert wrong == ["account_required", "account_required", "unknown_account"]
    assert (chosen.json()["state"], chosen.json()["account_id"]) == ("joined", str(two.id))
    assert chosen.json()["platform"] == "youtube"


async def test_who_has_no_account_waits_until_one_is_connected(suite: Any) -> None:
    campaign, who = suite.campaign(type="social", track_posts=True), await suite.influencer()
    await suite.reads(campaign)
    waiting = await _join(suite, campaign, who)
    account = suite.account(who)
    await suite.reads(account)

    path = f"/v1/participations/{waiting.json()['id']}/account"
    chosen = await suite.staff.post(path, {"account_id": str(account.id)})

    assert (waiting.json()["state"], chosen.json()["state"]) == ("waiting", "joined")


async def test_force_joins_in_manual_mode_even_before_applications_open(suite: Any) -> None:
    campaign = suite.campaign(approval_mode="manual", opens_at=JOINING, type="social", track_posts=True)
    ready, torn, gone = [await suite.influencer() for _ in range(3)]
    owned = [suite.account(ready), suite.account(torn), suite.account(torn), suite.account(gone)]
    await suite.reads(campaign, *owned)
    await suite.staff.post(f"/v1/selections/{campaign.id}/deselect", {"influencer_ids": [str(gone)]})

    body = {"campaign_id": str(campaign.id), "influencer_ids": [str(i) for i in (torn, gone, ready)]}
    forced = (await suite.staff.post("/v1/participations/force", body)).json()["items"]

    assert [(item["state"], item["reason"]) for item in forced] == [
        ("waiting", None), (None, "deselected"), ("joined", None),
    ]  # fmt: skip
    path = f"/v1/participations/{forced[0]['participation_id']}/account"
    chosen = await suite.staff.post(path, {"account_id": str(owned[1].id)})
    assert chosen.json()["state"] == "joined", "staff have decided already"
    effects = {row.effect for row in await suite.rows("SELECT effect FROM decision")}
    assert effects == {"forced"}


async def test_n_codes_admit_n_in_order_and_a_retry_gets_the_same(suite: Any) -> None:
    campaign, people = suite.campaign(type="referral"), await suite.influencers(4)
    await suite.reads(campaign)
    codes = {"campaign_id": str(campaign.id), "codes": ["ZED", "Alpha", "mid"]}
    assert (await suite.staff.post("/v1/referral-codes", codes)).status_code == 201

    body = {"campaign_id": str(campaign.id), "influencer_ids": [str(i) for i in people]}
    first = (await suite.staff.post("/v1/participations/import", body)).json()["items"]
    again = (await suite.staff.post("/v1/participations/import", body)).json()["items"]

    assert [item["state"] for item in first] == ["joined"] * 3 + [None]
    assert first[3]["reason"] == "no_codes_left"
    assert again == first
    joined = await suite.published("participation")
    assert [one.referral_code for one in joined] == ["ZED", "Alpha", "mid"]
    rows = await suite.rows("SELECT 1 FROM participation WHERE influencer_id = :i", i=people[3])
    assert rows == [], "no partial state"


async def test_n_codes_admit_n_under_concurrency(suite: Any) -> None:
    campaign, people = suite.campaign(type="referral"), await suite.influencers(12)
    await suite.reads(campaign)
    codes = {"campaign_id": str(campaign.id), "count": 5, "prefix": "GO"}
    await suite.staff.post("/v1/referral-codes", codes)

    answers = await asyncio.gather(*(_join(suite, campaign, who) for who in people for _ in range(2)))

    given = {
        answer.json()["influencer_id"]: answer.json()["referral_code"]
        for answer in answers
        if answer.is_success
    }
    assert sorted(given.values()) == ["GO0001", "GO0002", "GO0003", "GO0004", "GO0005"]
    assert {answer.json()["reason"] for answer in answers if answer.is_error} == {"no_codes_left"}


async def test_a_withdrawn_code_is_not_given_again(suite: Any) -> None:
    campaign, people = suite.campaign(type="referral"), await suite.influencers(2)
    await suite.reads(campaign)
    await suite.staff.post("/v1/referral-codes", {"campaign_id": str(campaign.id), "codes": ["ONLY"]})
    joined = await _join(suite, campaign, people[0])
    left = await suite.staff.post(f"/v1/participations/{joined.json()['id']}/withdraw")

    refused = await _join(suite, campaign, people[1])

    assert left.json()["referral_code"] == "ONLY"
    assert refused.json()["reason"] == "no_codes_left"


async def test_codes_are_unique_per_advertiser_whatever_their_case(suite: Any) -> None:
    one = suite.campaign(type="referral")
    two = suite.campaign(type="ecommerce", advertiser_id=one.advertiser_id)
    other = suite.campaign(type="referral")
    await suite.reads(one, two, other)
    await suite.staff.post("/v1/referral-codes", {"campaign_id": str(one.id), "codes": ["SAVE10"]})

    body = {"codes": ["fresh", "save10"]}
    taken = await suite.staff.post("/v1/referral-codes", body | {"campaign_id": str(two.id)})
    elsewhere = await suite.staff.post("/v1/referral-codes", body | {"campaign_id": str(other.id)})
    twice = await suite.staff.post(
        "/v1/referral-codes", {"campaign_id": str(two.id), "codes": ["AbC", "aBc"]}
    )
    again = await suite.staff.post(
        "/v1/referral-codes", {"campaign_id": str(two.id), "codes": ["AAA", "AAA", "BBB"]}
    )

    assert (taken.status_code, taken.json()["errors"][0]["pointer"]) == (409, "/codes/1")
    assert (again.status_code, again.json()["errors"][0]["pointer"]) == (409, "/codes/1")
    assert elsewhere.status_code == 201
    assert twice.json()["reason"] == "code_taken"
    listed = await suite.staff.get("/v1/referral-codes", campaign_id=str(two.id))
    assert listed.json()["items"] == [], "all or none"


async def test_bulk_approval_takes_the_longest_waiting_first(suite: Any) -> None:
    campaign = suite.campaign(type="referral", approval_mode="manual")
    people = await suite.influencers(3)
    await suite.reads(campaign)
    await suite.staff.post("/v1/referral-codes", {"campaign_id": str(campaign.id), "codes": ["A11", "B22"]})
    for minutes, who in enumerate(reversed(people)):
        suite.now(JOINING + timedelta(minutes=minutes))
        await _join(suite, campaign, who)

    answer = await suite.staff.post("/v1/participations/approve", {"campaign_id": str(campaign.id)})

    items = [(item["influencer_id"], item["state"], item["reason"]) for item in answer.json()["items"]]
    assert items == [
        (str(people[2]), "joined", None),
        (str(people[1]), "joined", None),
        (str(people[0]), None, "no_codes_left"),
    ]


async def test_a_commission_is_set_per_creator_of_an_ecommerce_campaign(suite: Any) -> None:
    shop, plain = suite.campaign(type="ecommerce"), suite.campaign()
    who = await suite.influencer()
    await suite.reads(shop, plain)
    in_shop, in_plain = [(await _join(suite, each, who)).json() for each in (shop, plain)]

    path = f"/v1/participations/{in_shop['id']}"
    changed = await suite.staff.patch(path, {"commission": "12.5"}, version=1)
    stale = await suite.staff.patch(path, {"commission": "13"}, version=1)
    wrong = await suite.staff.patch(f"/v1/participations/{in_plain['id']}", {"commission": "12.5"})
    number = await suite.staff.patch(path, {"commission": 12})

    assert changed.json()["commission"] == "12.50"
    assert (await suite.published("participation.changed"))[0].commission == 1250
    assert (stale.status_code, wrong.status_code, number.status_code) == (412, 422, 422)


async def test_the_followers_base_is_taken_at_the_start_and_at_later_joins(suite: Any) -> None:
    campaign = suite.campaign(type="social", track_posts=True)
    early, late = await suite.influencer(), await suite.influencer()
    owned, hers = suite.account(early, followers=100), suite.account(late, followers=5)
    await suite.reads(campaign, owned, hers)
    suite.now(JOINING)
    await _join(suite, campaign, early)
    suite.now(campaign.starts_at)
    await suite.reads(owned.model_copy(update={"version": 2, "followers": 120}))

    assert await suite.runs("campaign.starts", campaign.id)
    await suite.reads(owned.model_copy(update={"version": 3, "followers": 999}))
    later = await _join(suite, campaign, late)

    [based] = await suite.published("participation.changed")
    assert (based.followers_base, based.version) == (120, 2)
    assert later.json()["followers_base"] == 5
    assert not await suite.runs("campaign.starts", campaign.id), "done once"


async def test_a_moved_start_moves_the_base(suite: Any) -> None:
    campaign = suite.campaign()
    await suite.reads(campaign)
    moved = campaign.starts_at + timedelta(days=3)

    await suite.reads(campaign.model_copy(update={"version": 2, "starts_at": moved}))

    assert (await suite.due())["campaign.starts", str(campaign.id)] == moved


async def test_an_ecommerce_campaign_gives_codes_while_there_are_any_and_admits_all(suite: Any) -> None:
    campaign, people = suite.campaign(type="ecommerce"), await suite.influencers(2)
    await suite.reads(campaign)
    await suite.staff.post("/v1/referral-codes", {"campaign_id": str(campaign.id), "codes": ["MAKER1"]})

    joined = [(await _join(suite, campaign, who)).json() for who in people]

    assert [(one["state"], one["referral_code"]) for one in joined] == [
        ("joined", "MAKER1"),
        ("joined", None),
    ]


async def test_codes_that_are_added_later_go_to_those_who_joined_without_one(suite: Any) -> None:
    campaign, people = suite.campaign(type="ecommerce"), await suite.influencers(3)
    await suite.reads(campaign)
    for hours, who in enumerate(people):
        suite.now(campaign.approved_at + timedelta(hours=hours))
        await _join(suite, campaign, who)

    added = await suite.staff.post(
        "/v1/referral-codes", {"campaign_id": str(campaign.id), "codes": ["MAKER1", "MAKER2"]}
    )

    assert (added.json()["codes"], added.json()["assigned"]) == (2, 2)
    codes = {one.influencer_id: one.referral_code for one in await suite.published("participation")}
    assert [codes[who] for who in people] == ["MAKER1", "MAKER2", None]


@pytest.mark.parametrize("known", [True, False], ids=["a later verdict", "the first verdict"])
async def test_a_verdict_waits_for_a_join_that_did_not_know_of_it(suite: Any, known: bool) -> None:
    campaign, who = suite.campaign(), await suite.influencer()
    await suite.reads(campaign, *[suite.budget(campaign)] * known)

    async with suite.units.begin() as work:
        await hold(work, [campaign.id])
        verdict = asyncio.create_task(suite.reads(suite.budget(campaign, version=2, status="exhausted")))
        done, _ = await asyncio.wait([verdict], timeout=0.3)
        assert not done, "what the join was let in on stays true until it commits"
    await asyncio.wait_for(verdict, timeout=10)

    assert (await _join(suite, campaign, who)).json()["reason"] == "over_budget"
