"""What the rig finds when rows and mails don't fit what clients were told."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import effects
import pytest
import told
from effects import Broken, Databases
from history import History, Outcome

from souk.chassis.migrations import migrate
from souk.contracts.topic import Service
from souk.local.testing import Database, MakeDatabase
from souk.notify.channels.mime import NAME, Envelope, prepare

SERVICES: tuple[Service, ...] = ("billing", "influencer", "notify", "tracking")
AT = datetime(2017, 2, 3, tzinfo=UTC)
MARIE, SPRING, THING, OTHER = (UUID(int=number) for number in (0xB1, 0xC1, 0xD1, 0xD2))


@pytest.fixture(scope="session")
async def migrated(make_database: MakeDatabase) -> dict[Service, Database]:
    made = {service: make_database(service) for service in SERVICES}
    for service, each in made.items():
        found = find_spec(f"souk.{service}")
        assert found is not None
        await migrate(each.url, Path(next(iter(found.submodule_search_locations or ()))) / "migrations")
    return made


@pytest.fixture
async def databases(database: MakeDatabase, migrated: dict[Service, Database]) -> AsyncIterator[Databases]:
    async with AsyncExitStack() as opened:
        yield {
            service: await opened.enter_async_context(
                asyncpg.create_pool(database(service, each).url, min_size=0, max_size=1)
            )
            for service, each in migrated.items()
        }


async def put(databases: Databases, service: Service, table: str, **row: Any) -> None:
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await databases[service].execute(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})",
        *row.values(),
    )


async def put_payment(databases: Databases, of: UUID, run: date, version: int, status: str) -> None:
    await put(databases, "billing", "payment_run", run=run, cut_off=AT, started_at=AT)
    await put(
        databases, "billing", "payment",
        id=of, version=version, status=status, run=run, influencer_id=MARIE, currency="USD", gross=1,
        withholding=0, consumption_tax=0, fee=0, net=1, carried=0, created_at=AT, changed_at=AT,
        paid_at=AT if status == "paid" else None,
    )  # fmt: skip


async def put_participation(databases: Databases, state: str) -> None:
    await put(
        databases, "influencer", "participation",
        id=THING, version=1, created_at=AT, changed_at=AT, campaign_id=SPRING, influencer_id=MARIE,
        state=state, applied_at=AT, joined_at=AT,
    )  # fmt: skip


async def put_notice(databases: Databases, of: UUID, kind: str, subject: UUID) -> None:
    await put(
        databases, "notify", "delivery",
        id=of, version=1, influencer_id=MARIE, channel="in_app", kind=kind, subject_ids=[subject],
        campaign_ids=[], status="sent", made_at=AT, changed_at=AT,
    )  # fmt: skip


def ask(
    history: History, kind: str, outcome: Outcome, answer: dict[str, Any] | None = None, **subject: Any
) -> None:
    asked = history.ask(kind, **subject)
    asked.outcome, asked.sent, asked.answer = outcome, 1, answer or {}


async def test_a_payment_took_the_steps_that_were_acknowledged_and_no_other(databases: Databases) -> None:
    history = History()
    await put_payment(databases, THING, date(2017, 2, 5), 2, "failed")
    await put_payment(databases, OTHER, date(2017, 3, 5), 1, "reviewing")
    ask(history, "payment_failed", "acknowledged", payment=str(THING))
    sound = await effects.payments(databases, history)
    ask(history, "payment_corrected", "acknowledged", payment=str(THING))
    ask(history, "payment_failed", "acknowledged", payment=str(OTHER))

    lost = await effects.payments(databases, history)
    undone = await effects.payments(databases, History())

    assert sound == []
    assert lost == [
        Broken("lost", "payment_corrected", str(THING)),
        Broken("lost", "payment_failed", str(OTHER)),
    ]
    assert undone == [Broken("undone", "payment", str(THING))]


async def test_a_shop_is_kept_once_for_each_that_was_asked_for(databases: Databases) -> None:
    asked, refused = History(), History()
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
    history = History()
    await put_participation(databases, state)
    ask(history, kind, outcome, participation=str(THING))

    broken = await effects.moves(databases, history)

    assert [each.fault for each in broken] == found


async def test_what_has_to_be_told_is_and_of_posts_no_more_than_was_decided(
    databases: Databases,
) -> None:
    history = History()
    await put_participation(databases, "joined")
    await put(
        databases, "influencer", "announcement",
        id=OTHER, changed_at=AT, occasion="started", subject="", day=AT.date(), part=1, parts=1,
        recipients=f'[{{"influencer_id": "{MARIE}", "campaign_ids": ["{SPRING}"]}}]',
    )  # fmt: skip
    await put_payment(databases, OTHER, date(2017, 2, 5), 2, "paid")
    due = ("participation.approved", THING), ("campaign.started", SPRING), ("payment.paid", OTHER)

    lost = await told.notices(databases, history)
    for number, (kind, subject) in enumerate(due):
        await put_notice(databases, UUID(int=number), kind, subject)
    sound = await told.notices(databases, history)
    for number in (10, 11):
        await put_notice(databases, UUID(int=number), "post.approved", THING)
    twice = await told.notices(databases, history)
    ask(history, "post_effective", "unknown", post=str(THING))

    assert {each.subject for each in lost} == {f"{kind} {subject} to {MARIE}" for kind, subject in due}
    assert sound == []
    assert twice == [Broken("told_twice", "notice", f"post.approved {THING}: 2 times")]
    assert await told.notices(databases, history) == []


async def test_news_comes_in_one_mail(databases: Databases, tmp_path: Path) -> None:
    mailbox = tmp_path / "mail.sqlite"
    marie = f"{MARIE}@creators.example"

    def send(kind: str, text: str, number: int) -> None:
        envelope = Envelope(marie, "Marie", "https://souk.example", f"{number}@souk.example", AT)
        mail = prepare("a@souk.example", "News", NAME + text, NAME + text, kind).fill(envelope)
        with closing(sqlite3.connect(mailbox, isolation_level=None)) as kept:
            kept.execute("CREATE TABLE IF NOT EXISTS message (recipient TEXT, content BLOB)")
            kept.execute("INSERT INTO message VALUES (?, ?)", (marie, mail))

    await put_payment(databases, THING, date(2017, 2, 5), 2, "paid")
    send("campaign.started", "Campaign 1-8, Campaign 1-85", 1)
    send("payment.paid", "5 USD", 2)
    sound = await told.mails(databases, mailbox)
    send("campaign.started", "Campaign 1-9, Campaign 1-85", 3)
    send("payment.paid", "5 USD", 4)

    assert sound == []
    assert await told.mails(databases, mailbox) == [
        Broken("told_twice", "mail", f"{marie} campaign.started Campaign 1-85"),
        Broken("told_twice", "mail", f"{marie} payment.paid"),
    ]
