"""What is done around every HTTP request: its span, its duration, and the answer when all else failed."""

import logging
from time import perf_counter
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from souk.chassis import telemetry
from souk.chassis.metrics import HTTP_REQUEST_SECONDS, HTTP_REQUESTS_OPEN
from souk.chassis.problems import Refused, problem_response
from souk.contracts.reasons import Reason

_log = logging.getLogger(__name__)
_UNSEEN = ("/health/", "/metrics", "/internal/")


class Observed:
    """ASGI middleware. An exception that nobody turned into a problem is logged with its trace and
    answered as `internal`, without a word about its inside."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_UNSEEN):
            await self.app(scope, receive, send)
            return
        status = 500
        started = False

        async def noting(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
            await send(message)

        since = perf_counter()
        headers = Headers(scope=scope)
        HTTP_REQUESTS_OPEN.inc()
        with telemetry.server_span(scope["method"], scope["path"], headers) as span:
            try:
                await self.app(scope, receive, noting)
            except Exception as error:
                telemetry.fail(span, error)
                _log.exception(
                    "request failed",
                    extra={"route": _route(scope), "request_id": headers.get("x-request-id", "")[:200]},
                )
                if started:
                    raise
                await problem_response(Request(scope), Refused(Reason.INTERNAL))(scope, receive, noting)
            finally:
                HTTP_REQUESTS_OPEN.dec()
                route = _route(scope)
                HTTP_REQUEST_SECONDS.labels(route, _method(scope), str(status)).observe(
                    perf_counter() - since
                )
                span.update_name(f"{scope['method']} {route}")
                span.set_attributes({"http.route": route, "http.response.status_code": status})


# What was not read of the body is still under way: the connection can't be used again.
_CLOSE = {"Connection": "close"}


class Limited:
    """ASGI middleware. A body over `most` bytes is refused, by its stated length or as it arrives."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app = app
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        stated = Headers(scope=scope).get("content-length", "0")
        if not stated.isdecimal() or int(stated[:20]) > self.most:
            refused = Refused(Reason.TOO_LARGE, headers=_CLOSE)
            await problem_response(Request(scope), refused)(scope, receive, send)
            return
        size = 0

        async def counting() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.most:
                # Starlette's own kind, because FastAPI turns others into "400" while it reads a form.
                raise HTTPException(413, headers=_CLOSE)
            return message

        await self.app(scope, counting, send)


def _route(scope: Scope) -> str:
    """The route's template, so that ids don't become labels."""
    route: Any = scope.get("route")
    return getattr(route, "path", "unmatched")


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else "other"
