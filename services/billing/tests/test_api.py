"""Billing over HTTP: what is shown to whom, and what bad input is told."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from souk.billing.domain.margin import cost_of
from souk.contracts.money import MICROS
from souk.contracts.permissions import Level
from souk.contracts.topics.campaigns import Rates
from souk.contracts.topics.posts import Metrics
from souk.contracts.topics.users import User

RUN = "2017-11-05"


@pytest.fixture
async def market(billing, states):
    """Two tenants of each kind: `…` has a campaign in which ann earned and was paid, `other …` has bob's."""
    for prefix, who in (("", "ann"), ("other ", "bob")):
        name = f"{prefix}campaign"
        await billing.tell(
            states.influencer(who, talent_agency_id=states.name(f"{prefix}talent agency")),
            states.payee(who),
            states.campaign(
                name, advertiser_id=states.name(f"{prefix}advertiser"),
                agency_id=states.name(f"{prefix}agency"), rates=Rates(view=1, click=1), cap=6 * MICROS,
                budget=100 * MICROS,
            ),
            states.terms(name, margin=3_300, agency_margin=1_000),
            states.participation(who, name),
        )  # fmt: skip
        await billing.tell(
            states.post(
                "post", who, name, counted=Metrics(views=4_500_000, likes=3, comments=2), status="approved"
            ),
            states.link(who, name, billable=2_000_000),
        )
    await billing.run_payments()
    return states


def callers(api, states):
    def tenant(role):
        return lambda prefix: api.caller(role, organisation=states.name(f"{prefix}{role.replace('-', ' ')}"))

    return {
        "staff": lambda _: api.staff,
        "advertiser": tenant("advertiser"),
        "agency": tenant("agency"),
        "talent-agency": tenant("talent-agency"),
        "influencer": lambda prefix: api.caller(
            "influencer", influencer=states.name("bob" if prefix else "ann")
        ),
    }


OWN = {"staff", "advertiser", "agency", "talent-agency", "influencer"}
BUYERS = {"staff", "advertiser", "agency"}
EARNERS = {"staff", "talent-agency", "influencer"}
ROWS = {
    "/v1/budgets/{campaign}": (BUYERS, "unknown_campaign"),
    "/v1/earnings/{participation}": (OWN, "unknown_participation"),
    "/v1/earnings/{participation}/explanation": (OWN, "unknown_participation"),
    "/v1/payments/{payment}": (EARNERS, "unknown_payment"),
}


async def test_each_role_reaches_its_own_rows_and_a_foreign_id_is_unknown(billing, api, market):
    for route in ROWS:
        await _reaches_its_own(billing, api, market, route)


async def _reaches_its_own(billing, api, market, route):
    ann = next(p for p in await billing.payments() if p.influencer_id == market.name("ann"))
    path = route.format(
        campaign=market.name("campaign"), participation=market.part("ann", "campaign"), payment=ann.id
    )
    reached, unknown = ROWS[route]

    for role, caller in callers(api, market).items():
        own, foreign = await caller("").get(path), await caller("other ").get(path)

        assert own.status_code == (200 if role in reached else own.status_code), (role, own.text)
        if role not in reached:
            assert own.json()["reason"] in (unknown, "forbidden"), role
        if role != "staff":
            assert foreign.json()["reason"] in (unknown, "forbidden"), role
    missing = await api.staff.get(route.format(campaign=uuid4(), participation=uuid4(), payment=uuid4()))
    assert (missing.status_code, missing.json()["reason"]) == (404, unknown)


async def test_an_agency_reaches_the_campaigns_that_it_works_for_whoever_the_advertisers_agency_is_now(
    billing, api, states
):
    """The advertiser goes from `old` to `new` after its first campaign's approval; a draft goes with it."""
    for agency in ("old", "new"):
        await billing.tell(
            states.campaign(agency, agency_id=states.name(agency)), states.terms(agency, agency_margin=1_000),
            states.participation("ann", agency),
        )  # fmt: skip
    await billing.tell(states.campaign("draft", lifecycle="draft", agency_id=states.name("old")))
    await billing.tell(states.campaign("draft", agency_id=states.name("new")), states.terms("draft"))
    reached = {}

    for name in ("old", "new"):
        agency = api.caller("agency", organisation=states.name(name))
        budgets = {
            campaign: (await agency.get(f"/v1/budgets/{states.name(campaign)}")).status_code
            for campaign in ("old", "new", "draft")
        }
        earnings = (await agency.get("/v1/earnings")).json()["items"]
        reached[name] = (budgets, [earning["campaign_id"] for earning in earnings])

    assert reached == {
        "old": ({"old": 200, "new": 404, "draft": 404}, [str(states.name("old"))]),
        "new": ({"old": 404, "new": 200, "draft": 200}, [str(states.name("new"))]),
    }


async def test_lists_hold_the_callers_rows_alone(api, market):
    for role, caller in callers(api, market).items():
        earnings = await caller("").get("/v1/earnings")
        payments = await caller("").get("/v1/payments")

        assert len(earnings.json()["items"]) == (2 if role == "staff" else 1), role
        if role in EARNERS:
            assert len(payments.json()["items"]) == (2 if role == "staff" else 1), role
        else:
            assert payments.status_code == 403, role


FOR_STAFF = [
    ("get", "/v1/postings", None),
    ("get", "/v1/postings/summary", None),
    ("get", f"/v1/payment-runs/{RUN}", None),
    ("post", f"/v1/payment-runs/{RUN}/paid", None),
    ("post", "/v1/payments/{payment}/paid", None),
    ("post", "/v1/payments/{payment}/failed", {"reason": "x"}),
    ("post", "/v1/payments/{payment}/corrected", None),
    ("post", "/v1/payment-runs", {"run": RUN}),
]


async def test_the_ledger_and_the_runs_are_for_staff(billing, api, market):
    [payment, *_] = await billing.payments()

    for role, caller in callers(api, market).items():
        for method, route, body in FOR_STAFF:
            path = route.format(payment=payment.id)
            if role != "staff":
                answer = await caller("").get(path) if method == "get" else await caller("").post(path, body)
                assert (answer.status_code, answer.json()["reason"]) == (403, "forbidden"), (role, path)


async def test_margins_and_cost_are_never_shown_to_those_they_are_not_for(api, market):
    cost = cost_of(6 * MICROS, 3_300)
    price = cost_of(cost, 1_000)
    budgets, earnings, explanations = {}, {}, {}
    for role, caller in callers(api, market).items():
        budgets[role] = (await caller("").get(f"/v1/budgets/{market.name('campaign')}")).json()
        path = f"/v1/earnings/{market.part('ann', 'campaign')}"
        earnings[role] = (await caller("").get(path)).json()
        explanations[role] = (await caller("").get(f"{path}/explanation")).json()

    assert budgets["staff"]["revenue"] == "6.000000"
    assert budgets["staff"]["agency_price"] == f"{price / MICROS:.6f}"
    assert budgets["staff"]["peak_cost"] == f"{cost / MICROS:.6f}"
    assert {"agency_price", "agency_margin"} <= budgets["agency"].keys()
    assert not {"revenue", "margin"} & budgets["agency"].keys()
    assert not {"revenue", "margin", "agency_price", "agency_margin"} & budgets["advertiser"].keys()
    for role in ("influencer", "talent-agency"):
        assert "cost" not in earnings[role]
        assert earnings[role]["revenue"] == "6.000000"
    for role in ("advertiser", "agency"):
        assert not {"revenue", "worth"} & earnings[role].keys()
        assert earnings[role]["cost"] == budgets["staff"]["cost"]
    shown = {
        role: {leg["account"] for entry in e["entries"]["items"] for leg in entry["legs"]}
        for role, e in explanations.items()
    }
    assert shown["influencer"] == shown["talent-agency"] == {"accrued", "payable"}
    assert shown["advertiser"] == shown["agency"] == {"receivable"}
    for role in OWN - {"staff"}:
        assert not any("margin" in entry["inputs"] for entry in explanations[role]["entries"]["items"])


async def test_an_earning_shows_counted_metrics_in_full_whatever_the_cap_let_it_earn(api, market):
    earning = (await api.staff.get(f"/v1/earnings/{market.part('ann', 'campaign')}")).json()

    assert {k: earning[k] for k in ("posts", "views", "likes", "comments", "shares", "clicks")} == {
        "posts": 1, "views": 4_500_000, "likes": 3, "comments": 2, "shares": 0, "clicks": 2_000_000,
    }  # fmt: skip
    assert (earning["worth"], earning["revenue"], earning["capped"]) == ("6.500000", "6.000000", "0.500000")
    assert (earning["approved"], earning["is_capped"]) == ("6.000000", True)


async def test_an_amount_is_explained_down_to_its_events(api, market):
    answer = await api.staff.get(f"/v1/earnings/{market.part('ann', 'campaign')}/explanation")

    entries = answer.json()["entries"]["items"]
    assert [(entry["event"], entry["kind"]) for entry in entries] == [
        ("post.approved", "accrual"), ("post.approved", "approval"), ("link.clicked", "accrual"),
        ("campaign.settles", "approval"),
    ]  # fmt: skip
    assert entries[0]["inputs"]["units"]["views"] == 4_500_000
    assert entries[0]["topic"] == "tracking.posts.v1"
    assert entries[0]["rule_version"] == 1
    accrued = [leg for entry in entries for leg in entry["legs"] if leg["account"] in ("accrued", "payable")]
    assert sum(round(float(leg["amount"]) * MICROS) for leg in accrued) == -6 * MICROS
    assert [item["kind"] for item in answer.json()["items"]] == ["link", "post"]


async def test_the_summary_counts_every_posting_and_sums_to_zero(billing, api, market):
    summary = (await api.staff.get("/v1/postings/summary")).json()

    seen, cursor = 0, None
    while True:
        query = {"limit": 7} | ({"cursor": cursor} if cursor else {})
        page = (await api.staff.get("/v1/postings", **query)).json()
        seen += len(page["items"])
        if (cursor := page["next"]) is None:
            break
    assert summary == {"postings": seen, "sum": {"USD": "0.000000"}}
    await billing.check_ledger()
    ann = market.part("ann", "campaign")
    one = await api.staff.get("/v1/postings", participation_id=ann, account="accrued")
    amounts = [posting["amount"] for posting in one.json()["items"]]
    assert amounts == ["-4.500000", "4.500000", "-1.500000", "1.500000"]


async def test_the_summary_shows_money_that_came_from_nowhere_without_reading_the_ledger(
    billing, api, market
):
    await billing.sql("UPDATE balance SET amount = amount + 1 WHERE account = 'margin'")
    await billing.sql("ALTER TABLE posting RENAME TO posting_put_away")
    try:
        summary = await api.staff.get("/v1/postings/summary")
    finally:
        await billing.sql("ALTER TABLE posting_put_away RENAME TO posting")

    assert summary.json()["sum"] == {"USD": "0.000002"}


async def test_payments_are_paid_in_bulk_and_only_once(billing, api, market):
    billing.at(datetime(2017, 11, 10, tzinfo=UTC))

    first = await api.staff.post(f"/v1/payment-runs/{RUN}/paid", key="bulk")
    again = await api.staff.post(f"/v1/payment-runs/{RUN}/paid", key="bulk")
    once_more = await api.staff.post(f"/v1/payment-runs/{RUN}/paid")

    assert first.json() == again.json() == {"paid": 2, "left": 0}
    assert once_more.json() == {"paid": 0, "left": 0}
    [payment, _] = (await api.staff.get("/v1/payments", run=RUN)).json()["items"]
    assert (payment["status"], payment["gross"]) == ("paid", "6.000000")
    assert payment["paid_at"] == "2017-11-10T00:00:00Z"
    run = (await api.staff.get(f"/v1/payment-runs/{RUN}")).json()
    assert run["payments"] == {"paid": 2}


async def test_a_payment_fails_is_corrected_and_paid(billing, api, market):
    [payment, _] = await billing.payments()
    path = f"/v1/payments/{payment.id}"

    failed = await api.staff.post(f"{path}/failed", {"reason": "account closed"})
    early = await api.staff.post(f"{path}/paid")
    corrected = await api.staff.post(f"{path}/corrected")
    paid = await api.staff.post(f"{path}/paid")
    settled = await api.staff.post(f"{path}/failed", {"reason": "no"})

    assert (failed.json()["status"], failed.json()["failure"]) == ("failed", "account closed")
    assert (early.status_code, early.json()["reason"]) == (409, "wrong_state")
    assert (corrected.json()["status"], corrected.json()["failure"]) == ("reviewing", None)
    assert paid.json()["status"] == "paid"
    assert (settled.status_code, settled.json()["reason"]) == (409, "payment_settled")
    shown = (await api.staff.get(path)).json()
    assert [line["amount"] for line in shown["lines"]] == ["6.000000"]


async def test_a_run_is_refused_before_its_instant_and_done_once_after(billing, api, market):
    early = await api.staff.post("/v1/payment-runs", {"run": "2017-12-05"})
    odd = await api.staff.post("/v1/payment-runs", {"run": "2017-11-04"})
    ancient = await api.staff.post("/v1/payment-runs", {"run": "0001-01-05"})
    done = await api.staff.post("/v1/payment-runs", {"run": RUN})

    assert (early.status_code, early.json()["reason"]) == (409, "too_early")
    assert (odd.status_code, odd.json()["reason"]) == (422, "invalid")
    assert ancient.status_code == 422
    assert (done.status_code, done.json()["finished_at"]) == (202, "2017-11-05T01:00:00Z")
    await billing.run_timers()
    assert len(await billing.payments()) == 2
    billing.at(datetime(2017, 12, 5, 1, tzinfo=UTC))
    await api.staff.post("/v1/payment-runs", {"run": "2017-12-05"})
    await billing.run_timers()
    run = (await api.staff.get("/v1/payment-runs/2017-12-05")).json()
    assert run["finished_at"] is not None


async def test_influencers_ask_for_their_own_payment(api, market):
    who = callers(api, market)

    own = await who["influencer"]("").post("/v1/payments/requests", {})
    again = await who["influencer"]("").post("/v1/payments/requests", {})
    other = await who["influencer"]("").post(
        "/v1/payments/requests", {"influencer_id": str(market.name("bob"))}
    )
    agency = await who["talent-agency"]("").post(
        "/v1/payments/requests", {"influencer_id": str(market.name("ann"))}
    )
    foreign = await who["talent-agency"]("other ").post(
        "/v1/payments/requests", {"influencer_id": str(market.name("ann"))}
    )

    assert own.status_code == 201
    assert own.json() == again.json() == agency.json()
    assert {other.json()["reason"], foreign.json()["reason"]} == {"unknown_influencer"}


BAD = [
    ("get", "/v1/budgets/nonsense", None, 422),
    ("get", "/v1/earnings?cursor=nonsense", None, 400),
    ("get", "/v1/earnings?campaign_id=1", None, 422),
    ("get", "/v1/earnings?limit=1000", None, 422),
    ("get", "/v1/postings?account=nonsense", None, 422),
    ("get", "/v1/payments?status=nonsense", None, 422),
    ("get", "/v1/payment-runs/2017-10-05", None, 404),
    ("get", "/v1/payment-runs/2017-10-04", None, 404),
    ("post", "/v1/payment-runs", {"run": "soon"}, 422),
    ("post", "/v1/payment-runs", {"run": RUN, "more": 1}, 422),
    ("post", "/v1/payment-runs/2018-01-05/paid", None, 404),
    ("post", f"/v1/payments/{uuid4()}/paid", None, 404),
    ("post", f"/v1/payments/{uuid4()}/failed", {"reason": "x" * 501}, 422),
]


async def test_bad_input_is_named_and_changes_nothing(billing, api):
    for method, path, body, status in BAD:
        answer = await (api.staff.get(path) if method == "get" else api.staff.post(path, body))

        assert answer.status_code == status, (path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    assert await billing.published() == []


async def test_a_users_own_levels_override_the_matrix(billing, api, market):
    user, home = uuid4(), uuid4()
    caller = api.caller("staff", user=user, organisation=home)
    assert (await caller.get("/v1/payments")).status_code == 200

    await billing.tell(
        User(id=user, version=1, changed_at=market.now, organisation_id=home, levels={"payment": Level.NONE})
    )

    assert (await caller.get("/v1/payments")).status_code == 403
