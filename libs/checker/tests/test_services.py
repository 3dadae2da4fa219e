"""What is looked for in single databases: clicks, deliveries, parked records."""

from datetime import timedelta
from uuid import UUID, uuid4

from souk.checker import clicks, deliveries
from souk.checker.check import check
from souk.checker.database import reading
from souk.checker.parked import parked
from souk.contracts.topics.deliveries import DELIVERIES, Delivery

from .conftest import ACME, BIRD, START, execute

MARIE, SPRING, AUTUMN = (UUID(int=number) for number in (0xB1, 0xC1, 0xC2))


async def deliver(url, kind, subjects, channel="in_app", influencer=MARIE):
    await execute(
        url,
        "INSERT INTO delivery (id, version, influencer_id, channel, kind, subject_ids, campaign_ids, status, "
        "made_at, changed_at) VALUES ($1, 1, $2, $3, $4, $5::uuid[], '{}', 'sent', $6, $6)",
        *(uuid4(), influencer, channel, kind, tuple(subjects), START),
    )


async def test_what_happens_once_is_told_once_to_one_person_on_one_channel(urls):
    url = urls["notify"]
    await deliver(url, "campaign.started", [SPRING])
    await deliver(url, "campaign.started", [SPRING], influencer=BIRD)
    await deliver(url, "campaign.started", [SPRING, AUTUMN], channel="email")
    await deliver(url, "campaign.over_budget", [SPRING])
    await deliver(url, "campaign.over_budget", [SPRING])

    async with reading(url) as connection:
        assert await deliveries.told_twice(connection) == []
        await deliver(url, "campaign.started", [AUTUMN], channel="email")
        (found,) = await deliveries.told_twice(connection)

    assert (found.check, found.subject) == ("told_twice", f"{MARIE} email campaign.started {AUTUMN}")


async def test_a_payment_fails_once_for_each_correction_and_who_was_accepted_is_told_once(urls):
    url = urls["notify"]
    await execute(
        url,
        "INSERT INTO payment (id, version, status, net, currency) VALUES ($1, 4, 'failed', 1, 'USD')",
        ACME,
    )
    for _ in range(2):
        await deliver(url, "payment.failed", [ACME])
        await deliver(url, "participation.rejected", [BIRD])
    await deliver(url, "participation.approved", [BIRD])

    async with reading(url) as connection:
        assert await deliveries.told_twice(connection) == []
        await deliver(url, "payment.failed", [ACME])
        await deliver(url, "participation.approved", [BIRD])
        found = await deliveries.told_twice(connection)

    assert [one.subject for one in found] == [
        f"{MARIE} in_app participation.approved {BIRD}",
        f"{MARIE} in_app payment.failed {ACME}",
    ]


async def test_a_delivery_with_two_outcomes_was_sent_again(urls, topic_copies, produce, kafka):
    (topic,) = topic_copies(DELIVERIES)
    outcome = Delivery(
        id=ACME, version=2, changed_at=START, influencer_id=MARIE, channel="email", kind="campaign.started",
        subject_ids=(SPRING,), status="unknown",
    )  # fmt: skip
    await produce(topic, outcome, outcome)

    once = await check({}, kafka, topics=[topic], patience=0)
    await produce(topic, outcome.model_copy(update={"version": 3, "status": "sent"}))
    twice = await check({}, kafka, topics=[topic], patience=0)

    assert once.findings == []
    assert [(one.check, one.subject) for one in twice.findings] == [("told_twice", f"{topic.name} {ACME}")]


async def test_parked_records_are_named_by_key(urls):
    url = urls["notify"]
    for offset, key in enumerate([b"one", b"one", b"\xff", None]):
        await execute(
            url,
            'INSERT INTO parked ("group", topic, partition, "offset", key, headers, error, parked_at) '
            "VALUES ('souk.notify', 'tracking.posts.v1', 0, $1, $2, '', 'no reason', now())",
            *(offset, key),
        )

    async with reading(url) as connection:
        found = await parked(connection, "notify")

    assert [(one.check, one.subject, one.detail) for one in found] == [
        ("parked", "notify tracking.posts.v1 one", "2 from offset 0 on, tried 1 times at most"),
        ("parked", "notify tracking.posts.v1 \\xff", "1 from offset 2 on, tried 1 times at most"),
        ("parked", "notify tracking.posts.v1", "1 from offset 3 on, tried 1 times at most"),
    ]


async def test_clicks_that_are_missing_or_in_no_count_are_found(urls):
    url = urls["tracking"]
    counted, unjudged, missing = UUID(int=1), UUID(int=2), UUID(int=3)
    await execute(url, "INSERT INTO campaign (id, version, starts_at) VALUES ($1, 1, $2)", SPRING, START)
    await execute(
        url,
        "INSERT INTO link (id, version, changed_at, campaign_id, participation_id, billable) "
        "VALUES ($1, 2, $2, $3, $4, 1)",
        *(ACME, START, SPRING, BIRD),
    )
    for click, verdict in ((counted, "billable"), (unjudged, None)):
        await execute(
            url,
            "INSERT INTO click (id, link_id, campaign_id, participation_id, visitor, bot, clicked_at, "
            "verdict) VALUES ($1, $2, $3, $4, 'v', false, $5, $6)",
            *(click, ACME, SPRING, BIRD, START, verdict),
        )

    async with reading(url) as connection:
        lost = await clicks.lost(connection, {counted, unjudged, missing})
        sound = await clicks.counts(connection, START)
        await execute(url, "UPDATE click SET verdict = 'billable'")
        differing = await clicks.counts(connection, START)
        forgotten = await clicks.counts(connection, START + timedelta(days=301))

    assert [(one.check, one.subject) for one in lost] == [
        ("click_uncounted", str(unjudged)),
        ("click_lost", str(missing)),
    ]
    assert (sound, forgotten) == ([], [])
    assert [(one.check, one.detail) for one in differing] == [
        ("count_differs", "1 clicks are billable, 2 were judged so")
    ]
