"""The stand-ins' HTTP side: YouTube, the push service, a view of the mail, and the switch for faults."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as Event

from souk.local.standins import google
from souk.local.standins.faults import Fault, Faults
from souk.local.standins.google import GoogleError
from souk.local.standins.mail import Refusals
from souk.local.standins.mailbox import Mailbox
from souk.local.standins.push import LARGEST_BODY, LONGEST_ID, Message, PushRefused, PushService
from souk.local.standins.youtube import YouTube
from souk.local.standins.youtube_query import Resource

_LARGEST_FAULT = 4096
_MOST_LISTED = 200
_USUALLY_LISTED = 50
_LAST_PUSHES = 20


@dataclass(frozen=True, slots=True)
class Outside:
    """Everything that the stand-ins stand for. now: the suite's clock."""

    youtube: YouTube
    push: PushService
    mailbox: Mailbox
    refusals: Refusals
    faults: Faults
    now: Callable[[], datetime]


def application(outside: Outside) -> ASGIApp:
    return Starlette(
        routes=[
            Route("/health/ready", _ready),
            *_youtube_routes(outside),
            *_push_routes(outside),
            *_mail_routes(outside),
            *_fault_routes(outside.faults),
        ],
        middleware=[Middleware(_Faulty, faults=outside.faults)],
    )


async def _ready(_: Request) -> Response:
    return JSONResponse({"status": "ready"})


def _youtube_routes(outside: Outside) -> list[Route]:
    def serving(resource: Resource) -> Route:
        async def answer(request: Request) -> Response:
            try:
                found = outside.youtube.answer(resource, request.query_params, outside.now())
            except GoogleError as error:
                return _json(error.body(), error.code)
            return _json(found)

        return Route(f"/youtube/v3/{resource}", answer, methods=["GET"])

    return [serving("channels"), serving("playlistItems"), serving("videos")]


def _push_routes(outside: Outside) -> list[Route]:
    async def push(request: Request) -> Response:
        subscription = request.path_params["subscription"]
        if len(subscription) > LONGEST_ID:
            return _refusal(404, "there is no such subscription")
        body = await _body(request, LARGEST_BODY)
        origin = f"{request.url.scheme}://{request.headers.get('host', '')}"
        try:
            message = outside.push.take(subscription, request.headers, body, origin, outside.now())
        except PushRefused as refused:
            return _refusal(refused.status, str(refused))
        return Response(
            status_code=201, headers={"location": f"{origin}/message/{message.id}", "ttl": str(message.ttl)}
        )

    async def summary(_: Request) -> Response:
        last = list(outside.push.last)[-_LAST_PUSHES:]
        counts = {str(verdict): count for verdict, count in outside.push.counts.items()}
        return _json({**counts, "last": [_shown(message) for message in reversed(last)]})

    async def messages(request: Request) -> Response:
        found = outside.push.to(request.path_params["subscription"])
        return _json({"items": [_shown(message) | {"body": message.body.hex()} for message in found]})

    return [
        Route("/push/summary", summary, methods=["GET"]),
        Route("/push/{subscription}", messages, methods=["GET"]),
        Route("/push/{subscription}", push, methods=["POST"]),
    ]


def _shown(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "subscription": message.subscription,
        "received_at": message.received_at.isoformat(),
        "ttl": message.ttl,
        "urgency": message.urgency,
        "topic": message.topic,
        "size": len(message.body),
    }


def _mail_routes(outside: Outside) -> list[Route]:
    async def mails(request: Request) -> Response:
        text = request.query_params.get("limit", str(_USUALLY_LISTED))
        if not (text.isascii() and text.isdecimal() and len(text) < 5 and 0 < int(text) <= _MOST_LISTED):
            return _refusal(422, f"limit is a number from 1 to {_MOST_LISTED}")
        found = outside.mailbox.newest(request.query_params.get("to"), int(text))
        return _json(
            {
                "items": [
                    {
                        "id": mail.id,
                        "received_at": mail.received_at.isoformat(),
                        "from": mail.sender,
                        "to": mail.recipient,
                        "subject": mail.subject,
                        "size": mail.size,
                    }
                    for mail in found
                ]
            }
        )

    async def mail(request: Request) -> Response:
        content = outside.mailbox.content(request.path_params["mail"])
        if content is None:
            return _refusal(404, "there is no such mail, or it was dropped")
        return Response(content, media_type="message/rfc822")

    async def summary(_: Request) -> Response:
        counts, refusals = outside.mailbox.counts(), outside.refusals
        return _json(
            {
                "received": counts.received,
                "kept": counts.kept,
                "bytes": counts.bytes_kept,
                "recipients": counts.recipients,
                "refused": refusals.recipients,
                "refused_logins": refusals.logins,
            }
        )

    return [
        Route("/mail", mails, methods=["GET"]),
        Route("/mail/summary", summary, methods=["GET"]),
        Route("/mail/{mail:int}", mail, methods=["GET"]),
    ]


def _fault_routes(faults: Faults) -> list[Route]:
    async def switch_on(request: Request) -> Response:
        try:
            fault = Fault.model_validate_json(await _body(request, _LARGEST_FAULT))
        except ValidationError as error:
            return JSONResponse({"errors": json.loads(error.json(include_url=False))}, 422)
        number = faults.add(fault)
        if number is None:
            return _refusal(409, "there are too many faults already")
        return _json({"id": number}, 201)

    async def switch_off(_: Request) -> Response:
        faults.clear()
        return Response(status_code=204)

    async def listed(_: Request) -> Response:
        return _json(
            {
                "items": [
                    {"id": number, **fault.model_dump(), "times": left}
                    for number, fault, left in faults.listed()
                ]
            }
        )

    return [
        Route("/faults", listed, methods=["GET"]),
        Route("/faults", switch_on, methods=["POST"]),
        Route("/faults", switch_off, methods=["DELETE"]),
    ]


class _Faulty:
    """Lets a fault happen to a request instead of, or before, its answer."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self._faults.take(scope["path"]) if scope["type"] == "http" else None
        if fault and fault.reset:
            await self._app(scope, receive, _unheard)
            await _broken_off(send)
            return
        if fault and fault.slow:
            await asyncio.sleep(fault.slow)
        if fault and fault.status:
            body = google.failure(fault.status, fault.reason).body()
            await JSONResponse(body, fault.status)(scope, receive, send)
            return
        await self._app(scope, receive, send)


async def _unheard(_: Event) -> None:
    """Nobody gets the answer to what was done."""


async def _broken_off(send: Send) -> None:
    """An answer that promises more than comes: the server can only close the connection then."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})


async def _body(request: Request, most: int) -> bytes:
    """The body, cut off one byte after `most`: no more is read of one that is too long."""
    found = b""
    async for chunk in request.stream():
        found += chunk
        if len(found) > most:
            return found[: most + 1]
    return found


def _json(content: dict[str, Any], status: int = 200) -> Response:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode(), status, media_type="application/json; charset=UTF-8")


def _refusal(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status)
