"""Calling souk's public API through the gateway, as anyone would."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid5

import httpx

from souk.local.errors import StackError

_NAMESPACE = UUID("0b8f3f0e-9c1b-5d0a-8a53-2f6f2f0d9a11")
_PATIENCE_SECONDS = 90.0
_PAUSE_SECONDS = 0.1
_AWAY = {httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT}

Json = dict[str, Any]


class Refused(StackError):
    """The API answered with a problem that trying again does not mend."""

    def __init__(self, method: str, path: str, response: httpx.Response) -> None:
        try:
            problem: Json = response.json()
        except ValueError:
            problem = {"title": response.text[:200]}
        self.status = response.status_code
        self.reason = problem.get("reason")
        said = problem.get("detail") or problem.get("title")
        errors = problem.get("errors") or ""
        answer = f"{response.status_code} {self.reason}: {said} {errors}".rstrip()
        super().__init__(f"{method} {path} was refused with {answer}")


class Api:
    """The API as the holder of `token`.

    Every POST carries an Idempotency-Key that follows from `play` and the request, so a request whose answer
    was lost is sent again safely: while a service is away calls wait, for at most 90 s.
    """

    def __init__(self, client: httpx.AsyncClient, token: Callable[[], str], play: str) -> None:
        self._client = client
        self._token = token
        self._play = play

    async def get(self, path: str, **query: Any) -> Json:
        return await self._call("GET", path, params=query)

    async def post(self, path: str, body: Json | None = None, *, turn: int = 1) -> Json:
        """turn: tells requests apart that are alike on purpose."""
        payload = json.dumps(body or {}, sort_keys=True)
        key = uuid5(_NAMESPACE, f"{self._play}:{path}:{payload}:{turn}")
        return await self._call("POST", path, json=body or {}, headers={"idempotency-key": str(key)})

    async def patch(self, path: str, body: Json) -> Json:
        etag = (await self._send("GET", path)).headers["etag"]
        return await self._call("PATCH", path, json=body, headers={"if-match": etag})

    async def put(self, path: str, body: Json) -> Json:
        return await self._call("PUT", path, json=body)

    async def pages(self, path: str, **query: Any) -> AsyncIterator[Json]:
        """Every item of a list, page by page."""
        cursor: str | None = None
        while True:
            page = await self.get(path, limit=200, **query, **({"cursor": cursor} if cursor else {}))
            for item in page["items"]:
                yield item
            cursor = page.get("next")
            if cursor is None:
                return

    async def _call(self, method: str, path: str, **request: Any) -> Json:
        response = await self._send(method, path, **request)
        found: Json = response.json() if response.content else {}
        return found

    async def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._token()}", **request.pop("headers", {})}
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                response = await self._client.request(method, path, headers=headers, **request)
            except httpx.TransportError as error:
                if time.monotonic() > deadline:
                    raise StackError(
                        f"{method} {path} got no answer for 90 s: {error!r}. See `souk logs`."
                    ) from error
            else:
                if response.status_code not in _AWAY:
                    if response.is_error:
                        raise Refused(method, path, response)
                    return response
                if time.monotonic() > deadline:
                    raise Refused(method, path, response)
            await asyncio.sleep(_PAUSE_SECONDS)
