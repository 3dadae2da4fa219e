"""How a service runs: `souk-<service> api | worker | all | migrate | deadletter … | republish | lag`.

A service's main.py is its composition root: it builds `Parts` from its settings and hands them over here.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from souk.chassis.republish import Republisher
from souk.chassis.settings import ServiceSettings
from souk.chassis.work import Units
from souk.contracts.topic import Topic

if TYPE_CHECKING:
    from fastapi import APIRouter

    from souk.chassis.auth import PermissionsOf
    from souk.chassis.clock import Clock
    from souk.chassis.ends import LogEnds
    from souk.chassis.intake import Intake
    from souk.chassis.timers import Timers

S = TypeVar("S", bound=ServiceSettings)
Mode = Literal["api", "worker", "all"]

_log = logging.getLogger(__name__)
_CLOSE_SECONDS = 2.0
_CHECK_SECONDS = 2.0
_TIDY_EVERY_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the process built and lends to background tasks; they don't close it."""

    settings: ServiceSettings
    units: Units
    clock: "Clock"


Background = Callable[[Runtime], Coroutine[Any, Any, None]]
"""Runs beside the worker until cancelled at shutdown. Returning or raising ends the process with an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything a service consists of.

    background: by name, run by `worker` and `all`. closers: awaited in reverse order when the process ends
    (HTTP clients, pools).
    """

    routers: Sequence["APIRouter"] = ()
    intake: "Intake | None" = None
    timers: "Timers | None" = None
    republishers: Mapping[Topic[Any], Republisher] = field(default_factory=dict)
    background: Mapping[str, Background] = field(default_factory=dict)
    permissions_of: "PermissionsOf | None" = None
    closers: Sequence[Callable[[], Awaitable[None]]] = ()


@dataclass(frozen=True, slots=True)
class Service(Generic[S]):
    """name: `campaign` …, which also names the package `souk.<name>` whose `migrations` folder is applied,
    unless another folder is given."""

    name: str
    settings: type[S]
    build: Callable[[S], Parts]
    migrations: Path | None = None

    def migrations_folder(self) -> Path:
        if self.migrations is not None:
            return self.migrations
        found = find_spec(f"souk.{self.name}")
        if found is None or not found.submodule_search_locations:
            raise LookupError(f"there is no package souk.{self.name}")
        return Path(next(iter(found.submodule_search_locations))) / "migrations"


async def run(
    service: Service[Any], settings: ServiceSettings, mode: Mode, before_stop: Callable[[], None]
) -> int:
    """Run the service until it is told to stop; the exit code (see `supervision.supervise`)."""
    from souk.chassis import logs, telemetry
    from souk.chassis.ends import LogEnds
    from souk.chassis.supervision import supervise

    logs.configure(service.name, settings.log_level)
    telemetry.configure(service.name, settings.otlp)
    async with opened(service, settings, f"souk-{service.name} {mode}") as (parts, runtime):
        stopping = asyncio.Event()

        def stop() -> None:
            stopping.set()
            before_stop()

        ends = LogEnds(settings.kafka_access())
        try:
            tasks = _tasks(service, mode, parts, runtime, ends=ends, stopping=stopping)
            feeding = [name for name in tasks if name != "relay"]
            order = [feeding, ["relay"]] if "relay" in tasks else [feeding]
            code = await supervise(tasks, order, stop)
        finally:
            await ends.close()
    await asyncio.to_thread(telemetry.shutdown)
    return code


@asynccontextmanager
async def opened(
    service: Service[Any], settings: ServiceSettings, application: str
) -> AsyncIterator[tuple[Parts, Runtime]]:
    """The service's parts on its database; all is closed at the end, in a bounded time."""
    from souk.chassis.clock import clock_from
    from souk.chassis.database import open_engine

    clock = clock_from(settings.clock)
    engine = open_engine(settings.database.get_secret_value(), application)
    units = Units(engine, clock, service.name)
    parts = service.build(settings)
    try:
        yield parts, Runtime(settings, units, clock)
    finally:
        for close in (*reversed(parts.closers), engine.dispose):
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await close()
            except Exception:  # noqa: BLE001  the others are to be closed too
                _log.exception("not closed in order")


def _tasks(
    service: Service[Any],
    mode: Mode,
    parts: Parts,
    runtime: Runtime,
    *,
    ends: "LogEnds",
    stopping: asyncio.Event,
) -> dict[str, Coroutine[Any, Any, None]]:
    """The coroutines of a mode by name. stopping: set as soon as the process is on its way out."""
    from souk.chassis.ends import barrier
    from souk.chassis.http import application
    from souk.chassis.jwks import TokenVerifier
    from souk.chassis.ops import Check, operations
    from souk.chassis.pulse import Pulse
    from souk.chassis.server import serve

    settings, units = runtime.settings, runtime.units
    tasks: dict[str, Coroutine[Any, Any, None]] = {}

    async def going() -> str | None:
        return "shutting down" if stopping.is_set() else None

    checks: dict[str, Check] = {
        "process": going,
        "database": _database_check(units, service.migrations_folder()),
    }
    if mode != "api":
        from souk.chassis import gauges
        from souk.chassis.relay import Relay

        tasks["relay"] = Relay(units, settings.kafka_access()).run()
        tasks["tidying"] = _tidy(units)
        tasks["gauges"] = gauges.keep(units, parts.intake)
        if parts.intake is not None and parts.intake.subscriptions:
            from souk.chassis.consumer import IntakeRunner

            runner = IntakeRunner(parts.intake, units, settings.kafka_access(), park_run=settings.park_run)
            tasks["intake"] = runner.run()

            async def assigned() -> str | None:
                return runner.ready()

            checks["intake"] = assigned
        if parts.timers is not None:
            from souk.chassis.intake import Intake
            from souk.chassis.timer_runner import TimerRunner

            reads = parts.intake if parts.intake is not None else Intake(service.name)
            tasks["timers"] = TimerRunner(parts.timers, units, barrier(reads, units, ends)).run()
        tasks |= {name: task(runtime) for name, task in parts.background.items()}
    own = parts.routers if mode != "worker" else ()
    app = application(
        service.name,
        routers=[operations(checks, Pulse(units, parts.intake, ends).read), *own],
        units=units,
        verifier=TokenVerifier(settings.oidc_jwks, settings.oidc_issuer, settings.oidc_audience),
        permissions_of=parts.permissions_of,
    )
    tasks["http"] = serve(app, settings.listen)
    return tasks


def _database_check(units: Units, migrations: Path) -> Callable[[], Awaitable[str | None]]:
    from souk.chassis.migrations import is_current

    async def check() -> str | None:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                current = await is_current(units.engine, migrations)
        except Exception as error:  # noqa: BLE001
            return f"the database does not answer ({type(error).__name__})"
        return None if current else "the schema is not at this version; run migrate"

    return check


async def _tidy(units: Units) -> None:
    """Remove expired idempotency keys now and then, in small transactions."""
    from souk.chassis.idempotency import remove_expired

    while True:
        try:
            removed = -1
            while removed:
                async with units.begin() as work:
                    removed = await remove_expired(work)
        except Exception:  # noqa: BLE001  it is tried again
            _log.exception("expired idempotency keys were not removed")
        await asyncio.sleep(_TIDY_EVERY_SECONDS)
