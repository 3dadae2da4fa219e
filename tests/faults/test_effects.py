"""What the rig finds when rows don't fit what clients were told."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import effects
import pytest
import rows
from effects import Broken, Databases
from history import Outcome
from rows import (
    AT,
    MARIE,
    OTHER,
    SPRING,
    THING,
    ask,
    put,
    put_campaign,
    put_click,
    put_code,
    put_entry,
    put_item,
    put_link,
    put_order,
    put_participation,
    put_payment,
    put_post,
)


async def test_a_draft_is_there_once_if_it_was_acknowledged(databases: Databases) -> None:
    sound, refused = rows.history(), rows.history()
    ask(sound, "draft", "acknowledged", title="Spring")
    ask(refused, "draft", "refused", title="Spring")

    lost = await effects.drafts(databases, sound)
    nothing = await effects.drafts(databases, refused)
    await put_campaign(databases)
    once = await effects.drafts(databases, sound)
    undone = await effects.drafts(databases, refused)
    await put_campaign(databases, id=OTHER)

    assert lost == [Broken("lost", "draft", "Spring")]
    assert nothing == once == []
    assert undone == [Broken("undone", "draft", "Spring")]
    assert await effects.drafts(databases, sound) == [Broken("doubled", "draft", "Spring")]


async def test_a_campaign_is_approved_if_that_was_acknowledged(databases: Databases) -> None:
    sound, refused, maybe = rows.history(), rows.history(), rows.history()
    ask(sound, "approve", "acknowledged", campaign=str(SPRING))
    ask(refused, "approve", "refused", campaign=str(SPRING))
    ask(maybe, "approve", "refused", campaign=str(SPRING), sent=2)
    await put_campaign(databases)

    lost = await effects.approvals(databases, sound)
    nothing = await effects.approvals(databases, refused)
    await databases["campaign"].execute("UPDATE campaign SET approved_at = $1", AT)

    assert lost == [Broken("lost", "approve", str(SPRING))]
    assert nothing == []
    assert await effects.approvals(databases, sound) == []
    assert await effects.approvals(databases, refused) == [Broken("undone", "approve", str(SPRING))]
    assert await effects.approvals(databases, maybe) == [], "an answer that was lost may have been another"


@pytest.mark.parametrize(
    ("says", "found"),
    [
        ("third", []),
        ("unknown", []),
        ("refused later", []),
        ("second", [Broken("lost", "edit", f"{SPRING}: 'second'")]),
        ("", [Broken("lost", "edit", f"{SPRING}: ''")]),
        ("refused", [Broken("undone", "edit", f"{SPRING}: 'refused'")]),
    ],
)
async def test_a_campaign_says_what_it_was_last_made_to_say(
    databases: Databases, says: str, found: list[Broken]
) -> None:
    history = rows.history()
    edit: dict[str, Any] = {"campaign": str(SPRING)}
    ask(history, "edit", "acknowledged", {"version": 3}, **edit, post_requirements="third")
    ask(history, "edit", "acknowledged", {"version": 2}, **edit, post_requirements="second")
    ask(history, "edit", "unknown", **edit, post_requirements="unknown")
    ask(history, "edit", "refused", **edit, post_requirements="refused")
    ask(history, "edit", "refused", sent=2, **edit, post_requirements="refused later")
    await put_campaign(databases, post_requirements=says)

    assert await effects.edits(databases, history) == found


async def test_a_campaign_of_which_every_edit_was_refused_is_as_it_was(databases: Databases) -> None:
    history = rows.history()
    ask(history, "edit", "refused", campaign=str(SPRING), post_requirements="refused")
    await put_campaign(databases)

    sound = await effects.edits(databases, history)
    await databases["campaign"].execute("UPDATE campaign SET post_requirements = 'refused'")

    assert sound == []
    assert await effects.edits(databases, history) == [Broken("undone", "edit", f"{SPRING}: 'refused'")]


@pytest.mark.parametrize(
    ("less", "sound"),
    [
        ({"cap": 16_000_000, "end_date": date(2017, 2, 7)}, True),
        ({"cap": 15_999_999, "end_date": date(2017, 2, 7)}, False),
        ({"cap": 16_000_000, "end_date": date(2017, 2, 6)}, False),
    ],
)
async def test_a_cap_and_an_end_are_no_less_than_was_acknowledged(
    databases: Databases, less: dict[str, Any], *, sound: bool
) -> None:
    history = rows.history()
    edit = {"campaign": str(SPRING), "post_requirements": "words", "cap": "16", "end_date": "2017-02-07"}
    ask(history, "edit", "acknowledged", {"version": 2}, **edit)
    await put_campaign(databases, post_requirements="words", **less)

    broken = await effects.edits(databases, history)

    assert broken == ([] if sound else [Broken("lost", "edit", f"{SPRING}: {edit}")])


async def test_who_joined_takes_part_and_who_was_refused_does_not(databases: Databases) -> None:
    sound, refused = rows.history(), rows.history()
    pair = {"campaign": str(SPRING), "influencer": str(MARIE)}
    ask(sound, "join", "acknowledged", **pair)
    ask(refused, "join", "refused", **pair)

    lost = await effects.joins(databases, sound)
    nothing = await effects.joins(databases, refused)
    await put_participation(databases)

    assert lost == [Broken("lost", "join", f"{SPRING} {MARIE}")]
    assert nothing == []
    assert await effects.joins(databases, sound) == []
    assert await effects.joins(databases, refused) == [Broken("undone", "join", f"{SPRING} {MARIE}")]


async def test_a_code_is_in_the_pool_once_and_nobody_shares_one(databases: Databases) -> None:
    sound, refused = rows.history(), rows.history()
    ask(sound, "codes", "acknowledged", codes=["C1", "C2"])
    ask(refused, "codes", "refused", codes=["C1"])
    await put_code(databases, 1, "C1")

    lost = await effects.codes(databases, sound)
    await put_code(databases, 2, "C2")
    once = await effects.codes(databases, sound)
    undone = await effects.codes(databases, refused)
    await put_code(databases, 3, "C1")
    for number in (1, 2):
        await put_participation(
            databases, id=UUID(int=number), influencer_id=UUID(int=number), referral_code="C2"
        )

    assert lost == [Broken("lost", "codes", "C2")]
    assert once == []
    assert undone == [Broken("undone", "codes", "C1")]
    assert await effects.codes(databases, sound) == [
        Broken("doubled", "codes", "C1"),
        Broken("doubled", "code", f"{SPRING} C2"),
    ]


async def test_a_click_is_kept_and_judged_as_long_as_clicks_are_kept(databases: Databases) -> None:
    history = rows.history()
    await put_link(databases)
    ask(history, "click", "acknowledged", {"click": str(THING)}, link="/r/spring")

    lost = await effects.clicks(databases, history)
    await put_click(databases, verdict=None)
    unjudged = await effects.clicks(databases, history)
    await databases["tracking"].execute("UPDATE click SET verdict = 'billable'")
    sound = await effects.clicks(databases, history)
    await put_click(databases, id=OTHER)
    doubled = await effects.clicks(databases, history)
    await databases["tracking"].execute("DELETE FROM click")
    history.clock = lambda: AT + timedelta(days=400)

    assert lost == [Broken("lost", "click", f"{THING}: it is not stored")]
    assert unjudged == [Broken("lost", "click", f"{THING}: it has no verdict")]
    assert sound == []
    assert doubled == [
        Broken("doubled", "click", "/r/spring: 2 are kept, 1 were asked for"),
        Broken("doubled", "click", "visitor 1 has 2"),
    ]
    assert await effects.clicks(databases, history) == []


async def test_a_click_that_was_refused_once_an_answer_was_lost_may_be_there(databases: Databases) -> None:
    at_once, again = rows.history(), rows.history()
    ask(at_once, "click", "refused", link="/r/spring")
    ask(again, "click", "refused", sent=2, link="/r/spring")
    await put_link(databases)
    await put_click(databases)

    assert [each.fault for each in await effects.clicks(databases, at_once)] == ["doubled"]
    assert await effects.clicks(databases, again) == []


@pytest.mark.parametrize(
    ("outcome", "changed", "sent", "taken_back", "found"),
    [
        ("acknowledged", 1, 1, True, []),
        ("acknowledged", 1, 1, False, ["lost"]),
        ("acknowledged", 0, 1, False, []),
        ("unknown", 0, 1, True, []),
        ("refused", 0, 1, False, []),
        ("refused", 0, 1, True, ["undone"]),
        ("refused", 0, 2, True, []),
    ],
)
async def test_a_click_is_taken_back_if_that_was_acknowledged(
    databases: Databases, outcome: Outcome, changed: int, sent: int, *, taken_back: bool, found: list[str]
) -> None:
    history = rows.history()
    ask(history, "reverse", outcome, {"changed": changed}, sent=sent, clicks=[str(THING)], reversed=True)
    await put_click(databases, reversed=taken_back)

    broken = await effects.reversals(databases, history)

    assert broken == [Broken(fault, "reverse", str(THING)) for fault in found]


async def test_a_click_that_was_only_given_back_is_not_taken_back(databases: Databases) -> None:
    history = rows.history()
    ask(history, "reverse", "acknowledged", {"changed": 0}, clicks=[str(THING)], reversed=False)
    await put_click(databases, reversed=True)

    assert await effects.reversals(databases, history) == [Broken("undone", "reverse", str(THING))]


async def test_an_order_is_there_once_and_worth_what_was_told(databases: Databases) -> None:
    sound, refused, maybe, other = (rows.history() for _ in range(4))
    order = {"campaign": str(SPRING), "order": "1"}
    ask(sound, "order", "acknowledged", **order, net="5")
    ask(refused, "order", "refused", **order, net="5")
    ask(maybe, "order", "refused", **order, net="5")
    ask(maybe, "order", "unknown", **order, net="5")
    ask(other, "order", "acknowledged", **order, net="6")

    lost = await effects.orders(databases, sound)
    await put_order(databases, net=5_000_000)

    assert lost == [Broken("lost", "order", f"{SPRING} 1")]
    assert await effects.orders(databases, sound) == await effects.orders(databases, maybe) == []
    assert await effects.orders(databases, refused) == [Broken("undone", "order", f"{SPRING} 1")]
    assert await effects.orders(databases, other) == [
        Broken("lost", "order", f"{SPRING} 1: 5000000 of 6000000")
    ]


@pytest.mark.parametrize(
    ("outcomes", "refunded", "found"),
    [
        (["acknowledged"], 2_000_000, []),
        (["acknowledged"], 0, ["lost"]),
        (["acknowledged"], 4_000_000, ["doubled"]),
        (["refused"], 0, []),
        (["refused"], 2_000_000, ["undone"]),
        (["unknown", "refused"], 2_000_000, []),
    ],
)
async def test_a_refund_is_taken_off_once(
    databases: Databases, outcomes: list[Outcome], refunded: int, found: list[str]
) -> None:
    history = rows.history()
    order = {"campaign": str(SPRING), "order": "1"}
    ask(history, "order", "acknowledged", **order, net="5")
    for outcome in outcomes:
        ask(history, "refund", outcome, **order, refund="7", amount="2")
    await put_order(databases, net=5_000_000, refunded=refunded)

    broken = await effects.orders(databases, history)

    assert broken == [Broken(fault, "refund", f"{SPRING} 1") for fault in found]


@pytest.mark.parametrize(
    ("kind", "outcome", "sent", "status", "found"),
    [
        ("post_approve", "acknowledged", 1, "approved", []),
        ("post_approve", "unknown", 1, "effective", []),
        ("post_approve", "refused", 1, "effective", []),
        ("post_approve", "refused", 1, "approved", ["post_approve"]),
        ("post_approve", "refused", 2, "approved", []),
        ("post_ineffective", "refused", 1, "ineffective", ["post_ineffective"]),
        ("post_ineffective", "refused", 1, "approved", ["post_approve"]),
        ("post_effective", "acknowledged", 1, "ineffective", ["post_ineffective"]),
        ("close", "refused", 1, "approved", ["post_approve"]),
        ("close", "acknowledged", 1, "approved", []),
    ],
)
async def test_a_post_is_nothing_that_nobody_asked_for(
    databases: Databases, kind: str, outcome: Outcome, sent: int, status: str, found: list[str]
) -> None:
    history = rows.history()
    ask(history, kind, outcome, sent=sent, post=str(THING), campaign=str(SPRING))
    await put_post(databases, status=status)

    broken = await effects.standings(databases, history)

    assert broken == [Broken("undone", each, str(THING)) for each in found]


async def test_a_post_is_what_it_was_made_and_keeps_what_was_counted(databases: Databases) -> None:
    approved, ineffective = rows.history(), rows.history()
    counted = {"views": 5, "likes": 0, "comments": 0}
    answer = {"status": "approved", "version": 2, "counted": counted}
    ask(approved, "post_approve", "acknowledged", answer, post=str(THING))
    answer = {"status": "ineffective", "version": 2}
    ask(ineffective, "post_ineffective", "acknowledged", answer, post=str(THING))
    await put_post(databases, status="approved", version=2, counted_views=5)
    change = databases["tracking"].execute

    sound = await effects.judgements(databases, approved)
    other = await effects.judgements(databases, ineffective)
    await change("UPDATE post SET counted_views = 6")
    counted_anew = await effects.judgements(databases, approved)
    await change("UPDATE post SET version = 1, status = 'pending', counted_views = 5")

    assert sound == []
    assert other == [
        Broken("lost", "post_ineffective", f"{THING}: ineffective at 2"),
        Broken("lost", "post_ineffective", str(THING)),
    ]
    assert counted_anew == [Broken("undone", "counted metrics", str(THING))]
    assert await effects.judgements(databases, approved) == [
        Broken("lost", "post_effective", str(THING)),
        Broken("lost", "post_approve", f"{THING}: approved at 2"),
        Broken("lost", "post_approve", str(THING)),
    ]


async def test_billing_decides_by_ever_newer_versions_and_leaves_no_fact(databases: Databases) -> None:
    for number, version in enumerate((1, 2, 2)):
        await put_entry(databases, number, version)
    await put_item(databases)

    sound = await effects.facts(databases, rows.history())
    await put_entry(databases, 3, 1)
    await databases["billing"].execute("UPDATE item SET folded = false")
    await put(
        databases, "billing", "participation",
        id=OTHER, campaign_id=SPRING, influencer_id=MARIE, arrival=1, source_version=1, joined_at=AT,
        changed_at=AT,
    )  # fmt: skip
    await put(databases, "billing", "account", id=SPRING, approved=True, terms_version=1)

    assert sound == []
    assert await effects.facts(databases, rows.history()) == [
        Broken("went_back", "ledger", f"{THING} to version 1"),
        Broken("lost", "fact", str(THING)),
    ]


@pytest.mark.parametrize("change", [{"version": 2}, {"views": 6}, {"likes": 1}, {"comments": 1}])
async def test_billing_reckons_with_what_tracking_counted_of_a_post(
    databases: Databases, change: dict[str, int]
) -> None:
    await put_post(databases, counted_views=5)
    await put_item(databases, views=5)
    sound = await effects.counts(databases, rows.history())
    [(column, value)] = change.items()

    await databases["billing"].execute(f"UPDATE item SET {column} = {value}")

    assert sound == []
    [broken] = await effects.counts(databases, rows.history())
    assert (broken.fault, broken.kind, broken.subject[:36]) == ("lost", "count", str(THING))


async def test_billing_reckons_with_what_tracking_counted_of_a_link(databases: Databases) -> None:
    await put_link(databases, billable=7)
    await put_item(databases, id=OTHER, kind=2, units=7)
    sound = await effects.counts(databases, rows.history())

    await databases["tracking"].execute("UPDATE link SET billable = 8")

    assert sound == []
    assert await effects.counts(databases, rows.history()) == [
        Broken("lost", "count", f"{OTHER}: {(1, 0, 0, 0, 7)} of {(1, 0, 0, 0, 8)}")
    ]


async def test_a_payment_took_the_steps_that_were_acknowledged_and_no_other(databases: Databases) -> None:
    history = rows.history()
    await put_payment(databases, THING, date(2017, 2, 5), 2, "failed")
    await put_payment(databases, OTHER, date(2017, 3, 5), 1, "reviewing")
    ask(history, "payment_failed", "acknowledged", payment=str(THING))
    sound = await effects.payments(databases, history)
    ask(history, "payment_corrected", "acknowledged", payment=str(THING))
    ask(history, "payment_failed", "acknowledged", payment=str(OTHER))

    lost = await effects.payments(databases, history)
    undone = await effects.payments(databases, rows.history())

    assert sound == []
    assert lost == [
        Broken("lost", "payment_corrected", str(THING)),
        Broken("lost", "payment_failed", str(OTHER)),
    ]
    assert undone == [Broken("undone", "payment", str(THING))]


async def test_a_shop_is_kept_once_for_each_that_was_asked_for(databases: Databases) -> None:
    asked, refused = rows.history(), rows.history()
    row = {"campaign_id": SPRING, "kind": "shopify", "domain": "a.test", "secret": b"", "created_at": AT}
    await put(databases, "tracking", "shop", id=THING, **row)
    ask(asked, "shop", "acknowledged", {"id": str(THING)}, campaign=str(SPRING))
    ask(refused, "shop", "refused", campaign=str(SPRING))
    sound = await effects.shops(databases, asked)
    await put(databases, "tracking", "shop", id=OTHER, **row)
    doubled = await effects.shops(databases, asked)
    ask(asked, "shop", "acknowledged", {"id": str(MARIE)}, campaign=str(SPRING))

    assert sound == []
    assert doubled == [Broken("doubled", "shop", f"{SPRING}: 2 of 1")]
    assert await effects.shops(databases, asked) == [Broken("lost", "shop", str(MARIE))]
    assert await effects.shops(databases, refused) == [Broken("undone", "shop", f"{SPRING}: 2 of 0")]


@pytest.mark.parametrize(
    ("kind", "outcome", "state", "found"),
    [
        ("accept", "acknowledged", "joined", []),
        ("accept", "refused", "joined", ["undone"]),
        ("withdraw", "refused", "joined", []),
        ("withdraw", "refused", "withdrawn", ["undone"]),
        ("withdraw", "acknowledged", "joined", ["lost"]),
    ],
)
async def test_who_was_refused_has_not_moved(
    databases: Databases, kind: str, outcome: Outcome, state: str, found: list[str]
) -> None:
    history = rows.history()
    await put_participation(databases, state=state)
    ask(history, kind, outcome, participation=str(THING))

    broken = await effects.moves(databases, history)

    assert [each.fault for each in broken] == found
