"""What operators and the suite ask of a service, on its own port; the gateway routes none of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

Check = Callable[[], Awaitable[str | None]]
"""None when the part is ready, else one sentence why not; never raises."""


def operations(checks: Mapping[str, Check], pulse: Callable[[], Awaitable[Any]] | None) -> APIRouter:
    """`/health/live`, `/health/ready`, `/metrics`, `/internal/pulse`.

    checks: by the name of the part, run one after the other for readiness. Liveness asks nothing: a
    database that is away is no reason to restart the service.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @router.get("/health/ready")
    async def ready() -> JSONResponse:
        missing = {name: why for name, check in checks.items() if (why := await check()) is not None}
        if missing:
            return JSONResponse({"status": "not ready", "missing": missing}, 503)
        return JSONResponse({"status": "ready"})

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    if pulse is not None:

        @router.get("/internal/pulse")
        async def beat() -> Any:
            reading = await pulse()
            return asdict(reading) if is_dataclass(reading) and not isinstance(reading, type) else reading

    return router
