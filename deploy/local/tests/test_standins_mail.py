"""The mail server as a client meets it, and the mails as a person looks at them afterwards."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from souk.local.standins.mailbox import Mailbox
from souk.notify.channels.smtp import read_server

NOON = datetime(2017, 9, 20, 12, tzinfo=UTC)
CONTENT = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nTo: you\r\n\r\n.a line with a dot\r\nbye\r\n"


def client(url: str, **changes: Any) -> SMTP:
    server = read_server(url)
    login = {"username": server.user, "password": server.password}
    return SMTP(hostname=server.host, port=server.port, timeout=10, **(login | changes))


def someone(domain: str = "creators.example") -> str:
    return f"{uuid4().hex}@{domain}"


async def send(connection: SMTP, recipient: str, content: bytes = CONTENT) -> None:
    await connection.mail("notices@souk.example")
    await connection.rcpt(recipient)
    await connection.data(content)


def mails(url: str, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{url}/mail", params=query).json()["items"]
    return found


def summary(url: str) -> dict[str, int]:
    found: dict[str, int] = httpx.get(f"{url}/mail/summary").json()
    return found


def content(url: str, mail: int) -> bytes:
    return httpx.get(f"{url}/mail/{mail}").content


async def test_a_mail_is_kept_as_it_came_with_the_suites_time(standins: Any) -> None:
    standins.at(NOON)
    recipient = someone()

    async with client(standins.smtp) as connection:
        await send(connection, recipient)

    (mail,) = mails(standins.url, to=recipient)
    assert (mail["subject"], mail["from"], mail["to"]) == ("Grüße", "notices@souk.example", recipient)
    assert datetime.fromisoformat(mail["received_at"]) == NOON
    assert content(standins.url, mail["id"]) == CONTENT


async def test_a_recipient_that_bounces_is_refused_for_good_and_others_go_on(standins: Any) -> None:
    refused = summary(standins.url)["refused"]
    recipient = someone()

    async with client(standins.smtp) as connection:
        with pytest.raises(SMTPRecipientRefused) as bounced:
            await send(connection, someone("bounce.example"))
        await connection.rset()
        await send(connection, recipient)

    assert bounced.value.code == 550
    assert len(mails(standins.url, to=recipient)) == 1
    assert summary(standins.url)["refused"] == refused + 1


async def test_nobody_sends_without_the_password(standins: Any) -> None:
    with pytest.raises(SMTPAuthenticationError):
        await client(standins.smtp, password="wrong").connect()

    async with client(standins.smtp, username=None, password=None) as connection:
        with pytest.raises(SMTPResponseException) as refused:
            await connection.mail("notices@souk.example")
    assert refused.value.code == 530


async def test_a_mail_that_is_too_large_is_refused(standins: Any) -> None:
    async with client(standins.smtp) as connection:
        with pytest.raises(SMTPResponseException) as refused:
            await send(connection, someone(), CONTENT + b"x" * 70 * 1024 + (b"y" * 900 + b"\r\n") * 1200)

    assert refused.value.code >= 500


async def test_hundreds_come_over_a_few_connections_and_none_is_lost(standins: Any) -> None:
    recipient = someone()

    async def many(number: int) -> None:
        async with client(standins.smtp) as connection:
            for _ in range(number):
                await send(connection, recipient)

    before = summary(standins.url)["received"]
    await asyncio.gather(*(many(75) for _ in range(4)))

    assert summary(standins.url)["received"] == before + 300
    assert len(mails(standins.url, to=recipient, limit=200)) == 200


async def test_a_fault_answers_late_refuses_for_now_or_hangs_up_after_the_mail(standins: Any) -> None:
    recipient = someone()
    async with httpx.AsyncClient(base_url=standins.url) as switch:
        await switch.post("/faults", json={"path_prefix": "/smtp/rcpt", "status": 451})
        await switch.post("/faults", json={"path_prefix": "/smtp/data", "reset": True})
        await switch.post("/faults", json={"path_prefix": "/smtp/mail", "status": 421})

    async with client(standins.smtp) as connection:
        with pytest.raises(SMTPSenderRefused) as unwanted:
            await send(connection, recipient)
    async with client(standins.smtp) as connection:
        with pytest.raises(SMTPRecipientRefused) as refused:
            await send(connection, recipient)
    broken = client(standins.smtp)
    await broken.connect()
    with pytest.raises((SMTPException, OSError)):
        await send(broken, recipient)
    broken.close()

    assert (unwanted.value.code, refused.value.code) == (421, 451)
    assert len(mails(standins.url, to=recipient)) == 1


async def test_a_mail_that_is_answered_too_late_was_taken(standins: Any) -> None:
    recipient, hurried = someone(), client(standins.smtp)
    async with httpx.AsyncClient(base_url=standins.url) as switch:
        await switch.post("/faults", json={"path_prefix": "/smtp/data", "slow": 60})
    await hurried.connect(timeout=5)
    hurried.timeout = 0.5

    with pytest.raises(SMTPException):
        await send(hurried, recipient)

    hurried.close()
    assert len(mails(standins.url, to=recipient)) == 1


async def test_mails_outlive_a_kill(
    start_standins: Callable[[Path], AbstractContextManager[Any]], tmp_path: Path
) -> None:
    recipient = someone()
    with start_standins(tmp_path) as first:
        async with client(first.smtp) as connection:
            await send(connection, recipient)
            first.process.kill()
            first.process.wait(15)

    with start_standins(tmp_path) as second:
        assert len(mails(second.url, to=recipient)) == 1


def test_the_oldest_are_dropped_beyond_the_number_and_the_size(tmp_path: Path) -> None:
    few = Mailbox(tmp_path / "few", most=3)
    small = Mailbox(tmp_path / "small", most_bytes=1_000)
    for number in range(10):
        few.keep(NOON, "a@b.example", [f"{number}@c.example"], b"x" * 300)
        small.keep(NOON, "a@b.example", [f"{number}@c.example"], b"x" * 300)

    assert [mail.recipient for mail in few.newest(None, 50)] == ["9@c.example", "8@c.example", "7@c.example"]
    assert [mail.recipient for mail in small.newest(None, 50)] == [
        "9@c.example",
        "8@c.example",
        "7@c.example",
    ]
    assert (few.counts().received, few.counts().kept, small.counts().bytes_kept) == (10, 3, 900)
    few.close()
    assert Mailbox(tmp_path / "few", most=3).counts().received == 10
