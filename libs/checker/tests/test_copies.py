"""The owner's row, the newest record and every reader's copy, on the services' own tables."""

import asyncio
from uuid import UUID

import pytest

from souk.checker.check import check
from souk.checker.content import fields_of
from souk.checker.copies import compared_columns
from souk.checker.database import reading
from souk.checker.finding import Finding
from souk.checker.places import COPIES, OWNERS
from souk.contracts.money import Micros
from souk.contracts.topics import TOPICS
from souk.contracts.topics.announcements import ANNOUNCEMENTS, Announcement
from souk.contracts.topics.clicks import CLICKS, Click
from souk.contracts.topics.conversions import CONVERSIONS, Conversion, OrderLine
from souk.contracts.topics.organisations import ORGANISATIONS
from souk.contracts.topics.participations import PARTICIPATIONS, Participation
from souk.contracts.topics.users import USERS

from .conftest import ACME, BIRD, START, checks, execute, organisation, user

STATES = (organisation(version=2, name="Acme & Co"), organisation(BIRD, name="Bird"))


async def fill(databases):
    """Two organisations and a user, at the campaign service and in the influencer service's copies."""
    campaign, influencer = databases["campaign"], databases["influencer"]
    await execute(campaign, 'DELETE FROM "user"')
    await execute(influencer, "DELETE FROM user_levels")
    for url in (campaign, influencer):
        await execute(url, "DELETE FROM organisation")
    for state in STATES:
        await execute(
            campaign,
            "INSERT INTO organisation (id, version, changed_at, created_at, kind, name, country, active) "
            "VALUES ($1, $2, $3, $3, $4, $5, $6, true)",
            *(state.id, state.version, state.changed_at, state.kind, state.name, state.country),
        )
        await execute(
            influencer,
            "INSERT INTO organisation (id, version, kind) VALUES ($1, $2, $3)",
            *(state.id, state.version, state.kind),
        )
    await execute(
        campaign,
        'INSERT INTO "user" (id, version, changed_at, created_at, organisation_id, email, name, levels, '
        "active) VALUES ($1, 1, $2, $2, $3, 'a@example.org', 'A', $4, true)",
        *(BIRD, START, ACME, {"payment": 1, "campaign": 2}),
    )
    await execute(
        influencer,
        "INSERT INTO user_levels (id, version, organisation_id, levels, active) VALUES ($1, 1, $2, $3, true)",
        *(BIRD, ACME, {"campaign": 2, "payment": 1}),
    )


@pytest.fixture
async def sound(urls, topic_copies, produce):
    """What `fill` puts into two databases, on topics too; the databases and the topics."""
    topics = organisations, users = topic_copies(ORGANISATIONS, USERS)
    databases = {name: urls[name] for name in ("campaign", "influencer")}
    await fill(databases)
    await produce(organisations, organisation(), *STATES)
    await produce(users, user())
    return databases, topics


async def test_nothing_is_found_where_rows_records_and_copies_agree(sound, kafka):
    databases, topics = sound

    report = await check(databases, kafka, topics=topics)

    assert report.findings == []
    organisations, users = (topic.name for topic in topics)
    assert report.checked == {
        "topics": {organisations: 3, users: 1},
        "rows": {
            f"campaign.organisation {organisations}": 2,
            f"influencer.organisation {organisations}": 2,
            f"campaign.user {users}": 1,
            f"influencer.user_levels {users}": 1,
        },
    }


FAULTS = [
    ("influencer", "DELETE FROM organisation WHERE id = $1",
     "copy_missing", "version 2 was told, none is stored"),
    ("influencer", "UPDATE organisation SET version = 0 WHERE id = $1",
     "copy_missing", "version 2 was told, none is stored"),
    ("influencer", "UPDATE organisation SET version = 1 WHERE id = $1",
     "copy_differs", "version 1 is stored, 2 was told"),
    ("influencer", "UPDATE organisation SET version = 3 WHERE id = $1",
     "copy_differs", "version 3 is stored, 2 was told"),
    ("influencer", "UPDATE organisation SET kind = 'agency' WHERE id = $1",
     "copy_differs", "version 2 differs in kind"),
    ("influencer", "INSERT INTO organisation VALUES (uuid_in(md5($1::uuid::text)::cstring), 1, 'agency')",
     "copy_differs", "version 1 is stored, none was told"),
    ("influencer", "UPDATE user_levels SET levels = levels || '{\"campaign\": 3}' WHERE organisation_id = $1",
     "copy_differs", "version 1 differs in levels"),
    ("campaign", "UPDATE organisation SET version = 3 WHERE id = $1",
     "owner_differs", "version 3 is stored, 2 was told"),
    ("campaign", "UPDATE organisation SET name = 'Acme', country = 'JP' WHERE id = $1",
     "owner_differs", "version 2 differs in country, name"),
    ("campaign", 'DELETE FROM "user" WHERE organisation_id = $1',
     "owner_differs", "version 1 was told, none is stored"),
]  # fmt: skip


async def test_each_difference_that_stays_is_found(sound, kafka):
    databases, topics = sound
    found = []
    for service, fault, *_ in FAULTS:
        await execute(databases[service], fault, ACME)
        report = await check(databases, kafka, topics=topics, patience=0)
        found.append([(one.check, one.detail) for one in report.findings])
        await fill(databases)

    assert found == [[(expected, detail)] for *_, expected, detail in FAULTS]


async def test_a_copy_that_lags_is_waited_for(sound, kafka, produce):
    databases, topics = sound
    await produce(topics[0], organisation(version=3, name="Acme & Co"))

    async def catch_up():
        changed_at = organisation(version=3).changed_at
        for service, sql in (
            ("campaign", ", changed_at = $2"),
            ("influencer", " , kind = coalesce($2, kind)"),
        ):
            await asyncio.sleep(0.3)
            await execute(
                databases[service],
                f"UPDATE organisation SET version = 3{sql} WHERE id = $1",
                *(ACME, changed_at if service == "campaign" else None),
            )

    catching_up = asyncio.create_task(catch_up())
    report = await check(databases, kafka, topics=topics, patience=20)
    await catching_up

    assert report.findings == []


async def test_a_row_that_always_runs_ahead_of_its_topic_is_no_finding(sound, kafka, produce):
    databases, topics = sound
    stopping = asyncio.Event()

    async def keep_changing():
        version = 2
        while not stopping.is_set():
            version += 1
            state = organisation(version=version, name="Acme & Co")
            for url in databases.values():
                await execute(url, "UPDATE organisation SET version = $2 WHERE id = $1", ACME, version)
            await execute(
                databases["campaign"],
                "UPDATE organisation SET changed_at = $2 WHERE id = $1",
                *(ACME, state.changed_at),
            )
            await produce(topics[0], state)

    changing = asyncio.create_task(keep_changing())
    try:
        report = await check(databases, kafka, topics=topics, patience=20)
    finally:
        stopping.set()
        await changing

    assert report.findings == []


async def test_forks_and_stale_records_are_told_with_the_rest(sound, kafka, produce):
    databases, topics = sound
    await produce(topics[0], organisation(BIRD, name="Somebody else"), organisation())

    report = await check(databases, kafka, topics=topics, patience=0)

    assert checks(report.findings) == ["fork", "owner_differs", "stale_last"]


async def test_what_is_old_may_be_gone_on_either_side(urls, topic_copies, produce, kafka):
    topics = clicks, announcements = topic_copies(CLICKS, ANNOUNCEMENTS)
    click = Click(
        id=UUID(int=1), version=1, changed_at=START, link_id=BIRD, campaign_id=ACME, participation_id=BIRD,
        visitor="v", agent="browser",
    )  # fmt: skip
    announcement = Announcement(
        id=UUID(int=2), version=1, changed_at=START, occasion="upcoming", day=START, part=1, parts=1,
        recipients=(),
    )  # fmt: skip
    await produce(clicks, click)
    await produce(announcements, announcement)
    databases = {name: urls[name] for name in ("influencer", "tracking", "notify")}

    later = await check(databases, kafka, topics=topics, patience=0)
    sooner = await check(databases, kafka, topics=topics, patience=0, now=START)

    assert later.findings == []
    assert checks(sooner.findings) == ["copy_missing", "copy_missing", "owner_differs"]


async def test_a_participation_is_at_billing_once_it_is_joined(urls, topic_copies, produce, kafka):
    (topic,) = topic_copies(PARTICIPATIONS)
    usual = {"version": 1, "changed_at": START, "campaign_id": ACME, "influencer_id": BIRD}
    await produce(topic, Participation(id=UUID(int=1), state="applied", **usual))
    databases = {"billing": urls["billing"]}

    applied = await check(databases, kafka, topics=[topic], patience=0)
    await produce(topic, Participation(id=UUID(int=2), state="joined", joined_at=START, **usual))
    joined = await check(databases, kafka, topics=[topic], patience=0)

    assert applied.findings == []
    assert [(one.check, one.subject.split()[-1]) for one in joined.findings] == [
        ("copy_missing", str(UUID(int=2)))
    ]


async def test_an_orders_lines_at_billing_are_what_tracking_told(urls, topic_copies, produce, kafka):
    (topic,) = topic_copies(CONVERSIONS)
    line = OrderLine(id="1", net=Micros(10_000_000), refunded=Micros(2_000_000))
    for number, lines in enumerate(((line,), (line,), ()), 1):
        await produce(topic, conversion(UUID(int=number), lines))
    databases = {"billing": urls["billing"]}
    kept = line.model_dump()
    for number, lines in enumerate(([kept], [kept | {"refunded": 0}], None), 1):
        await execute(
            urls["billing"],
            "INSERT INTO item (id, kind, campaign_id, participation_id, arrival, folded, version, "
            "changed_at, active, live, asks, would_count, disputed, name, lines, currency, "
            "views, likes, comments, shares, units, reversed, "
            "worth, earned, capped, refused, payable, approved_worth) "
            "VALUES ($1, 3, $2, $3, $4, false, 1, $5, true, true, false, false, false, '1', $6, 'USD', "
            "0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
            *(UUID(int=number), ACME, BIRD, number, START, lines),
        )

    report = await check(databases, kafka, topics=[topic], patience=0)

    differing = Finding(
        "copy_differs", f"billing.item {topic.name} {UUID(int=2)}", "version 1 differs in lines"
    )
    assert report.findings == [differing]


def conversion(of, lines):
    return Conversion(
        id=of, version=1, changed_at=START, campaign_id=ACME, participation_id=BIRD, influencer_id=BIRD,
        order_id=str(of), source="shop", attribution="code", ordered_at=START, currency="USD", lines=lines,
        verdict="qualified",
    )  # fmt: skip


async def test_every_place_is_there_and_says_something_of_its_topic(urls):
    for topic in TOPICS:
        fields = set(fields_of(topic.state))
        owner = OWNERS.get(topic.state)
        assert owner is None or owner.service == topic.owner
        for place in (*([owner] if owner else []), *COPIES.get(topic.state, ())):
            assert place is owner or place.service in topic.readers
            assert place.but | (place.only or set()) | ({place.needs} if place.needs else set()) <= fields
            async with reading(urls[place.service]) as connection:
                columns = await compared_columns(connection, topic.state, place)
                await connection.fetch(
                    f'SELECT id, {place.version}, {place.at or 1} FROM "{place.table}" WHERE {place.where}'
                )
            assert columns, place
            assert place.only is None or set(columns) == place.only
