"""A mail server that delivers nowhere: it checks the login, keeps the message, refuses what would bounce."""

import asyncio
import hmac
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from souk.local.standins.faults import SMTP as SMTP_PATH
from souk.local.standins.faults import Faults
from souk.local.standins.mailbox import Mailbox

BOUNCING = "bounce.example"
"""Mail to this domain is refused for good."""
LARGEST_MESSAGE = 1 << 20
_MOST_RECIPIENTS = 100
_MOST_CONNECTIONS = 64
_IDLE_SECONDS = 300


@dataclass(slots=True)
class Refusals:
    recipients: int = 0
    logins: int = 0


class Deliveries:
    """The mail server's answers; aiosmtpd finds them by their names."""

    def __init__(
        self, mailbox: Mailbox, faults: Faults, refusals: Refusals, now: Callable[[], datetime]
    ) -> None:
        self._mailbox = mailbox
        self._faults = faults
        self.refusals = refusals
        self._now = now

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if answer := await self._spoiled("mail", server):
            return answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if answer := await self._spoiled("rcpt", server):
            return answer
        if address.rpartition("@")[2].lower() == BOUNCING:
            self.refusals.recipients += 1
            return "550 5.1.1 Recipient address rejected: user unknown"
        if len(envelope.rcpt_tos) >= _MOST_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def _spoiled(self, command: str, server: SMTP) -> str | None:
        """What a fault answers in our place."""
        fault = self._faults.take(f"{SMTP_PATH}/{command}")
        if fault and fault.status:
            return f"{fault.status} Switched on by a test"
        if fault and fault.slow:
            await asyncio.sleep(fault.slow)
        if fault and fault.reset:
            _break(server)
            return "421 Connection lost"
        return None

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        fault = self._faults.take(f"{SMTP_PATH}/data")
        if fault and fault.status:
            return f"{fault.status} Switched on by a test"
        self._mailbox.keep(
            self._now(), envelope.mail_from or "", envelope.rcpt_tos, envelope.original_content or b""
        )
        if fault and fault.slow:
            # Whoever no longer waits for the answer has a mail that was taken.
            await asyncio.sleep(fault.slow)
        if fault and fault.reset:
            _break(server)
        return "250 2.0.0 Ok: kept"


def _break(server: SMTP) -> None:
    cast("asyncio.WriteTransport", server.transport).abort()


@dataclass(frozen=True, slots=True)
class Login:
    """The one user that may send."""

    user: str
    password: str

    def check(self, mechanism: str, given: Any) -> bool:
        return (
            mechanism in {"LOGIN", "PLAIN"}
            and isinstance(given, LoginPassword)
            and hmac.compare_digest(given.login, self.user.encode())
            and hmac.compare_digest(given.password, self.password.encode())
        )


async def listen(port: int, login: Login, deliveries: Deliveries) -> asyncio.Server:
    """Serve SMTP on `port` of this machine. Raises OSError when it is taken."""
    # It warns of AUTH without TLS at every connection; on the loopback interface that is right.
    warnings.filterwarnings("ignore", message="Requiring AUTH while not requiring TLS")
    logging.getLogger("mail").setLevel(logging.ERROR)
    connected: set[Any] = set()

    def authenticate(
        server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any
    ) -> AuthResult:
        if login.check(mechanism, given):
            return AuthResult(success=True)
        deliveries.refusals.logins += 1
        return AuthResult(success=False, handled=False)

    class Connection(SMTP):
        """One of at most so many."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connected.add(self)
            super().connection_made(transport)
            if len(connected) > _MOST_CONNECTIONS:
                cast("asyncio.WriteTransport", transport).abort()

        def connection_lost(self, error: Exception | None) -> None:
            connected.discard(self)
            super().connection_lost(error)

    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: Connection(
            deliveries,
            data_size_limit=LARGEST_MESSAGE,
            enable_SMTPUTF8=True,
            hostname="localhost",
            timeout=_IDLE_SECONDS,
            auth_required=True,
            auth_require_tls=False,
            authenticator=authenticate,
            loop=loop,
        ),
        "127.0.0.1",
        port,
    )
