"""Mail by SMTP over a few connections that stay open.

What the server certainly did not accept may be sent again; once the message is on its way and no answer
comes, it is never sent again.
"""

import contextlib
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import unquote, urlsplit

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from souk.contracts.reasons import Locale
from souk.contracts.topics.deliveries import Channel
from souk.notify.channels.mail import Composer, message_id
from souk.notify.channels.mime import Envelope, is_address
from souk.notify.channels.outlet import SENT, AwayError, Outcome
from souk.notify.domain.tokens import sign
from souk.notify.store.copies import Facts

_TIMEOUT_SECONDS = 30
_MOST_A_CONNECTION = 1_000
_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class Server:
    """tls: `start` from the first byte, `must` upgrade, `may` upgrade when it is offered."""

    host: str
    port: int
    user: str | None
    password: str | None
    tls: Literal["start", "must", "may"]


def read_server(url: str) -> Server:
    """Raises ValueError for a URL of another scheme or without a host; its text holds no password."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("SOUK_SMTP is smtp://, smtp+starttls:// or smtps:// with a host")
    tls: dict[str, Literal["start", "must", "may"]] = {
        "smtps": "start",
        "smtp+starttls": "must",
        "smtp": "may",
    }
    return Server(
        host=parts.hostname,
        port=parts.port or _PORTS[parts.scheme],
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tls[parts.scheme],
    )


@dataclass(slots=True)
class _Connection:
    client: SMTP
    sent: int = 0


class MailOutlet:
    """sender: the address that mails come from, without a name. link: what unsubscribe tokens are put
    behind, signed with `secret`."""

    channel: Channel = "email"

    def __init__(
        self,
        server: Server,
        composer: Composer,
        *,
        sender: str,
        link: str,
        secret: bytes,
        connections: int,
    ) -> None:
        self.width = connections
        self._server = server
        self._composer = composer
        self._sender = sender
        self._domain = sender.rpartition("@")[2]
        self._link = link
        self._secret = secret
        self._idle: deque[_Connection] = deque()

    async def send(self, row: Any, facts: Facts) -> Outcome:
        if not is_address(row.email):
            return Outcome("failed", "bad_address", unusable=(("bounced", row.email),))
        message = self._composer.template(row, facts, cast("Locale", row.locale)).fill(
            Envelope(
                address=row.email,
                name=facts.names.get(row.influencer_id, ""),
                link=self._link + sign(self._secret, row.influencer_id),
                message_id=message_id(row.id, self._domain),
                date=row.made_at,
            )
        )
        connection = await self._opened()
        try:
            outcome = await self._hand_over(connection, row.email, message)
        except BaseException:
            # Stopped in the middle of a command: what the server says next is no answer to a next one.
            connection.client.close()
            raise
        await self._give_back(connection)
        return outcome

    async def close(self) -> None:
        while self._idle:
            await _quit(self._idle.pop())

    async def _opened(self) -> _Connection:
        """A connection that has accepted our MAIL FROM. Raises AwayError when there is none to be had."""
        while self._idle:
            connection = self._idle.pop()
            with contextlib.suppress(SMTPException, OSError):
                await connection.client.mail(self._sender)
                return connection
            connection.client.close()
        server = self._server
        client = SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.tls == "start",
            start_tls=True if server.tls == "must" else None if server.tls == "may" else False,
            timeout=_TIMEOUT_SECONDS,
        )
        try:
            await client.connect()
            await client.mail(self._sender)
        except (SMTPException, OSError) as error:
            client.close()
            raise AwayError(f"the mail server does not take mail from us: {type(error).__name__}") from error
        return _Connection(client)

    async def _hand_over(self, connection: _Connection, address: str, message: bytes) -> Outcome:
        client = connection.client
        connection.sent += 1
        try:
            await client.rcpt(address)
        except SMTPRecipientRefused as refused:
            await self._reset(client)
            if refused.code >= 500:
                return Outcome("failed", f"refused_{refused.code}", unusable=(("bounced", address),))
            return Outcome("again", f"refused_{refused.code}")
        except (SMTPException, OSError):
            client.close()
            return Outcome("again", "disconnected")
        try:
            await client.data(message)
        except SMTPDataError as refused:
            await self._reset(client)
            return Outcome("failed" if refused.code >= 500 else "again", f"refused_{refused.code}")
        except (SMTPServerDisconnected, SMTPTimeoutError, OSError):
            client.close()
            return Outcome("unknown", "no_answer")
        return SENT

    async def _reset(self, client: SMTP) -> None:
        try:
            await client.rset()
        except (SMTPException, OSError):
            client.close()

    async def _give_back(self, connection: _Connection) -> None:
        if not connection.client.is_connected:
            return
        if connection.sent < _MOST_A_CONNECTION:
            self._idle.append(connection)
        else:
            await _quit(connection)


async def _quit(connection: _Connection) -> None:
    with contextlib.suppress(SMTPException, OSError):
        await connection.client.quit(timeout=5)
    connection.client.close()
