"""The stand-ins' one process: composition and life."""

import asyncio
import logging
import signal
from contextlib import suppress

from starlette.types import ASGIApp

from souk.chassis.clock import clock_from
from souk.chassis.server import serve
from souk.local.errors import StackError
from souk.local.standins import catalogue, mail, web
from souk.local.standins.faults import Faults
from souk.local.standins.mailbox import Mailbox
from souk.local.standins.push import PushService
from souk.local.standins.settings import StandinSettings
from souk.local.standins.youtube import YouTube


async def run(settings: StandinSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises StackError when the data can't be read or a port is taken."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    logging.basicConfig(level=logging.WARNING)
    clock = clock_from(settings.clock)
    settings.folder.mkdir(parents=True, exist_ok=True)
    mailbox = Mailbox(settings.folder / "mail.sqlite")
    outside = web.Outside(
        youtube=YouTube(
            catalogue.read(settings.data), settings.youtube_key.get_secret_value(), settings.quota
        ),
        push=PushService(),
        mailbox=mailbox,
        refusals=mail.Refusals(),
        faults=Faults(),
        now=clock.now,
    )
    deliveries = mail.Deliveries(mailbox, outside.faults, outside.refusals, clock.now)
    login = mail.Login(settings.smtp_user, settings.smtp_password.get_secret_value())
    try:
        smtp = await mail.listen(settings.smtp, login, deliveries)
        try:
            await _serve_until(over, web.application(outside), f"127.0.0.1:{settings.http}")
        finally:
            smtp.close()
    except OSError as error:
        raise StackError(f"The stand-ins can't listen: {error}.") from error
    finally:
        mailbox.close()


async def _serve_until(over: asyncio.Event, app: ASGIApp, address: str) -> None:
    serving = asyncio.create_task(serve(app, address))
    waiting = asyncio.create_task(over.wait())
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if serving.done():
        await serving
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving
