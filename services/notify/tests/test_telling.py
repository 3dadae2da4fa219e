"""Who is told what: facts of the other services, in any order, to deliveries (domain.md §7)."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from souk.contracts.state import State
from souk.contracts.topics.deliveries import Delivery
from souk.notify.domain.tokens import sign
from souk.notify.handlers.contacts import unsubscribe

from .conftest import (
    ANAN,
    AUTUMN,
    HOUR,
    KENJI,
    MARIE,
    SPRING,
    START,
    House,
    announcement,
    budget,
    campaign,
    contact,
    influencer,
    participation,
    payment,
    post,
    subscription,
)

BROWSER = subscription("https://push.example.org/1")
DAY = timedelta(days=1)
RETENTION = (
    "INSERT INTO timer (kind, subject, due_at, data) VALUES ('retention', 'all', '2017-09-20+00', '{}')"
)


async def test_a_start_is_one_mail_for_all_campaigns_and_a_push_and_a_notice_for_each(house: House) -> None:
    await house.hear(contact(push=(BROWSER,)), campaign(SPRING), campaign(AUTUMN))

    told = await house.told(announcement({MARIE: [SPRING, AUTUMN]}))

    assert [(kind, channel) for kind, channel, *_ in told] == [
        ("campaign.started", "email"),
        *[("campaign.started", "in_app")] * 2,
        *[("campaign.started", "push")] * 2,
    ]
    listed = await house.query("SELECT subject_ids FROM delivery WHERE channel = 'email'")
    assert listed == [([SPRING, AUTUMN],)]


async def test_nobody_is_told_of_a_start_twice_whatever_is_run_again(house: House) -> None:
    await house.hear(contact(), contact(KENJI), campaign())
    part = announcement({MARIE: [SPRING], KENJI: [SPRING]})
    once = await house.told(part)

    await house.told(part)
    again = await house.told(announcement({MARIE: [SPRING], KENJI: [SPRING]}, part=2))

    assert again == once


async def test_a_new_campaign_is_told_in_app_only(house: House) -> None:
    await house.hear(contact(), campaign())

    assert await house.told(announcement({MARIE: [SPRING]}, "upcoming")) == [
        ("campaign.upcoming", "in_app", MARIE, "sent", None)
    ]


async def test_an_announcement_older_than_its_topic_keeps_is_no_news(house: House) -> None:
    house.advance(31 * DAY)

    assert await house.told(contact(), campaign(), announcement({MARIE: [SPRING]})) == []


async def test_recipients_wait_for_their_contact_and_campaign_in_every_order(house: House) -> None:
    part = announcement({MARIE: [SPRING]})
    facts: list[State] = [contact(), campaign(), part]
    results = set()
    for order in permutations(facts):
        await house.execute("TRUNCATE delivery, contact, campaign, announcement, recipient, timer, outbox")
        for fact in order:
            await house.told(fact)
        results.add(tuple(await house.deliveries()))
        assert await house.query("SELECT 1 FROM recipient") == []

    assert results == {
        (
            ("campaign.started", "email", MARIE, "suppressed", "channel_off"),
            ("campaign.started", "in_app", MARIE, "sent", None),
            ("campaign.started", "push", MARIE, "suppressed", "no_subscription"),
        )
    }


@pytest.mark.parametrize(
    ("facts", "detail"),
    [
        ({"notifications": "off"}, "switched_off"),
        ({"erased": True, "email": None}, "erased"),
    ],
)
async def test_a_switch_that_is_off_holds_everything_back(house: House, facts: Any, detail: str) -> None:
    await house.hear(contact(**facts), campaign())

    told = await house.told(
        announcement({MARIE: [SPRING]}),
        participation(applied_at=START),
        payment(),
        post(status="approved", approved_at=START),
    )

    assert {(status, why) for *_, status, why in told} == {("suppressed", detail)}
    assert len(told) == 6


async def test_an_unsubscribed_influencer_is_told_nothing_until_the_switch_is_turned_on_anew(
    house: House,
) -> None:
    await house.hear(contact(), campaign())
    async with house.units.begin() as work:
        assert await unsubscribe(work, b"k" * 16, sign(b"k" * 16, MARIE)) == MARIE
        assert await unsubscribe(work, b"k" * 16, sign(b"other key of us", MARIE)) is None

    held_back = await house.told(payment())
    await house.hear(contact(version=2, email="new@example.org"))
    still = await house.told(payment(version=2, status="failed"))
    await house.hear(contact(version=3, notifications="off"), contact(version=4))
    told = await house.told(payment(version=3), payment(version=4, status="failed"))

    assert [row[3:] for row in held_back] == [("suppressed", "unsubscribed")]
    assert [row[3:] for row in still] == [("suppressed", "unsubscribed")] * 2
    assert ("payment.failed", "in_app", MARIE, "sent", None) in told


async def test_an_approval_is_told_to_who_applied_but_not_to_who_joined_by_himself(house: House) -> None:
    told = await house.told(
        contact(),
        contact(KENJI),
        campaign(),
        participation(MARIE, applied_at=START),
        participation(KENJI),
    )

    assert told == [("participation.approved", "in_app", MARIE, "sent", None)]


async def test_each_application_is_rejected_once(house: House) -> None:
    first = {"joined_at": None, "applied_at": START, "state": "rejected"}
    await house.hear(contact(), campaign(), participation(**first))
    await house.hear(participation(version=2, **first))
    assert len(await house.deliveries()) == 1

    await house.hear(participation(version=4, **(first | {"applied_at": START + HOUR})))

    assert len(await house.deliveries()) == 2


@pytest.mark.parametrize(
    "decided",
    [
        participation(applied_at=START),
        participation(state="rejected", joined_at=None, applied_at=START),
        post(status="approved", approved_at=START),
    ],
    ids=["approved", "rejected", "post approved"],
)
async def test_an_edit_tells_nothing_again_when_the_delivery_is_long_gone(house: House, decided: Any) -> None:
    told = await house.told(contact(), campaign(), decided)
    await house.execute(RETENTION)
    house.advance(181 * DAY)
    await house.work_off()
    gone = await house.deliveries()

    edited = decided.model_copy(update={"version": 2, "changed_at": START + 181 * DAY})
    assert (len(told), gone, await house.told(edited)) == (1, [], [])


async def test_a_rejection_is_told_however_long_the_application_waited(house: House) -> None:
    late = {"state": "rejected", "joined_at": None, "applied_at": START}
    house.advance(60 * DAY)

    rejected = participation(**late).model_copy(update={"changed_at": START + 60 * DAY})
    told = await house.told(contact(), campaign(ends_at=START + 90 * DAY), rejected)

    assert [row[0] for row in told] == ["participation.rejected"]


async def test_the_changes_of_posts_are_told_once_each(house: House) -> None:
    await house.hear(contact(), campaign(), post(), post(version=2, status="ineffective"))
    await house.hear(post(version=3, status="ineffective"), post(version=3, status="ineffective"))
    await house.hear(post(version=4, status="pending"), post(version=5, status="ineffective"))
    await house.hear(post(version=6, status="approved", approved_at=START))
    await house.hear(post(version=7, status="approved", approved_at=START))

    assert [row[0] for row in await house.deliveries()] == ["post.approved", "post.ineffective"]


async def test_payments_are_told_when_made_failed_and_paid(house: House) -> None:
    await house.hear(contact(), payment(), payment(version=2, status="failed"))
    await house.hear(payment(version=3), payment(version=4, status="failed"))
    told = await house.told(payment(version=5), payment(version=6, status="paid"))

    assert [row[:2] for row in told] == [
        ("payment.failed", "in_app"),
        ("payment.failed", "in_app"),
        ("payment.made", "in_app"),
        ("payment.paid", "email"),
        ("payment.paid", "in_app"),
    ]


async def test_over_budget_is_told_to_participants_of_that_instant_in_every_order(house: House) -> None:
    facts: list[State] = [
        contact(),
        contact(KENJI),
        contact(ANAN),
        campaign(),
        budget(),
        participation(MARIE),
        participation(KENJI, joined_at=START + 2 * HOUR),
        participation(ANAN, state="withdrawn", withdrawn_at=START + HOUR / 2),
    ]
    results = set()
    for order in (facts, facts[::-1], facts[4:] + facts[:4], facts[3::-1] + facts[4:]):
        await house.execute("TRUNCATE delivery, contact, campaign, occasion, participation, timer, outbox")
        for fact in order:
            await house.told(fact)
        results.add(tuple(await house.deliveries()))

    assert results == {(("campaign.over_budget", "in_app", MARIE, "sent", None),)}


async def test_an_exhaustion_of_an_older_budget_is_void(house: House) -> None:
    await house.hear(contact(), campaign(version=2, budget_version=2), participation())

    assert await house.told(budget()) == []


async def test_going_over_budget_again_is_told_again(house: House) -> None:
    await house.told(contact(), campaign(), participation(), budget())

    told = await house.told(
        budget(version=2, status="open", exhausted_at=None), budget(version=3, exhausted_at=START + 2 * HOUR)
    )

    assert [row[0] for row in told] == ["campaign.over_budget"] * 2


async def test_the_end_is_told_when_it_comes_where_it_was_moved_to(house: House) -> None:
    await house.hear(contact(), campaign(), participation())
    await house.hear(campaign(version=2, ends_at=START + 30 * DAY))
    house.advance(25 * DAY)
    await house.work_off()
    assert await house.deliveries() == []

    house.advance(5 * DAY)
    await house.work_off()

    assert [row[0] for row in await house.deliveries()] == ["campaign.finished"]


async def test_an_end_is_told_later_when_the_campaigns_copy_is_lost(house: House) -> None:
    await house.hear(contact(), campaign(), participation())
    await house.execute("DELETE FROM campaign")
    house.advance(26 * DAY)

    await house.work_off()
    assert await house.deliveries() == []

    assert [row[0] for row in await house.told(campaign())] == ["campaign.finished"]


async def test_a_late_participation_is_told_what_became_of_its_campaign(house: House) -> None:
    await house.hear(contact(), campaign())
    house.advance(25 * DAY)
    await house.work_off()

    assert [row[0] for row in await house.told(participation())] == ["campaign.finished"]


async def test_drafts_end_without_a_word(house: House) -> None:
    await house.hear(contact(), campaign(lifecycle="draft"), participation())
    house.advance(25 * DAY)
    await house.work_off()

    assert await house.deliveries() == []


async def test_what_is_final_is_published_and_republished_as_it_is(house: House) -> None:
    await house.told(contact(), campaign(), announcement({MARIE: [SPRING]}))

    published = [
        Delivery.model_validate_json(payload)
        for (payload,) in await house.query("SELECT payload FROM outbox ORDER BY id")
    ]

    from souk.notify.main import published_deliveries

    async with house.units.begin() as work:
        republished = await published_deliveries(work, None, 100)
    assert {one.channel: one.status for one in published} == await house.statuses()
    assert sorted(published, key=lambda one: one.id) == list(republished)


async def test_old_rows_go_after_their_time(house: House) -> None:
    await house.execute(RETENTION)
    await house.told(contact(), campaign(), participation(applied_at=START), announcement({MARIE: [SPRING]}))

    house.advance(61 * DAY)
    await house.work_off()
    after_two_months = {channel for _, channel, *_ in await house.deliveries()}
    house.advance(126 * DAY)
    await house.work_off()

    assert after_two_months == {"email", "push", "in_app"}
    assert await house.deliveries() == []
    assert await house.query("SELECT 1 FROM announcement") == []
    assert await house.query("SELECT due_at > '2018-01-01' FROM timer WHERE kind = 'retention'") == [(True,)]


async def test_an_erased_contact_leaves_no_address(house: House) -> None:
    await house.hear(contact(push=(BROWSER,)), influencer())
    await house.execute(
        f"INSERT INTO suppression VALUES ('{MARIE}', 'bounced', '{MARIE.int:x}@example.org', '2017-09-20')"
    )

    await house.hear(contact(version=2, email=None, erased=True))

    assert await house.query("SELECT email, push FROM contact") == [(None, [])]
    assert await house.query("SELECT 1 FROM suppression") == []


async def test_a_state_older_than_the_copy_changes_nothing(house: House) -> None:
    await house.hear(contact(version=3, notifications="off"), contact(version=2))

    assert await house.query("SELECT version, notifications FROM contact") == [(3, "off")]
