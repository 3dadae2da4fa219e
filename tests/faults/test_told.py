"""What the rig finds when notices and mails don't fit what had to be told, and which load it sees."""

import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

import rows
import told
from effects import Broken, Databases
from load import load
from rows import (
    AT,
    MARIE,
    OTHER,
    SPRING,
    THING,
    ask,
    put,
    put_notice,
    put_participation,
    put_payment,
    put_post,
)

from souk.notify.channels.mime import NAME, Envelope, prepare


async def test_what_has_to_be_told_is_and_of_posts_no_more_than_was_decided(
    databases: Databases,
) -> None:
    history = rows.history()
    await put_participation(databases)
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


async def test_a_notice_is_due_as_long_as_notices_are_kept(databases: Databases) -> None:
    history = rows.history()
    await put_participation(databases)

    lost = await told.notices(databases, history)
    history.clock = lambda: AT + timedelta(days=181)

    assert [each.fault for each in lost] == ["lost"]
    assert await told.notices(databases, history) == []


async def test_load_is_what_there_was_lately(databases: Databases) -> None:
    history, long = rows.history(), timedelta(days=120)
    ask(history, "draft", "acknowledged")
    ask(history, "draft", "refused")
    await put_post(databases)
    for hours, views in enumerate((1, 2, 3, 1)):
        await put(
            databases, "tracking", "post_snapshot",
            post_id=THING, observed_at=AT + timedelta(hours=hours), views=views,
        )  # fmt: skip
    await put_payment(databases, THING, date(2017, 2, 5), 1, "reviewing")
    await put_notice(databases, THING, "payment.made", THING)

    lately = await load(databases, history, long)
    history.clock = lambda: AT + long

    assert lately == {
        "draft": 1, "post": 1, "metric_up": 2, "metric_down": 1, "payment": 1, "payment_run": 1,
        "sent_in_app": 1,
    }  # fmt: skip
    assert +(await load(databases, history, timedelta(days=119))) == {}
