"""The command line of a service. What it prints is JSON, one object a line, on standard output."""

import asyncio
import json
import os
import threading
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from souk.chassis.process import Mode, Parts, Runtime, Service, opened, run
from souk.chassis.settings import ServiceSettings, complaint

T = TypeVar("T")
S = TypeVar("S", bound=ServiceSettings)

_EXIT_SECONDS = 10.0
_FAILED, _USAGE = 1, 2


def commands(service: Service[Any]) -> typer.Typer:
    """`api | worker | all | migrate | deadletter list|show|retry|drop | republish | rebuild | lag | check`.

    The console script `souk-<service>` calls the result.
    """
    app = typer.Typer(
        name=f"souk-{service.name}",
        help=f"The {service.name} service of souk.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.command()
    def api() -> None:
        """Serve the API alone."""
        _run(service, "api")

    @app.command()
    def worker() -> None:
        """Run consumers, relay, timers and background work alone; health and metrics are served too."""
        _run(service, "worker")

    @app.command(name="all")
    def everything() -> None:
        """Run API and worker in one process."""
        _run(service, "all")

    @app.command()
    def migrate() -> None:
        """Bring the service's database to the schema of this version."""
        from souk.chassis import logs, migrations

        settings = settings_or_exit(service.settings)
        logs.configure(service.name, settings.log_level)
        url = settings.database.get_secret_value()
        _print({"migrated": _done(migrations.migrate(url, service.migrations_folder()))})

    _upkeep(app, service)
    app.add_typer(_deadletter(service), name="deadletter")
    return app


def settings_or_exit(settings: type[S]) -> S:
    """What the environment says. Raises typer.Exit(2), having said why, where it doesn't suffice."""
    try:
        return settings()
    except ValidationError as error:
        typer.echo(complaint(settings, error), err=True)
        raise typer.Exit(_USAGE) from None


def _upkeep(app: typer.Typer, service: Service[Any]) -> None:
    """What looks at a running service, or has it do something again."""

    @app.command()
    def lag() -> None:
        """Print what waits: outbox rows, records not applied, parked records, due timers."""

        async def read(parts: Parts, runtime: Runtime) -> None:
            from souk.chassis.ends import LogEnds
            from souk.chassis.pulse import Pulse

            ends = LogEnds(runtime.settings.kafka_access())
            try:
                _print(asdict(await Pulse(runtime.units, parts.intake, ends).read()))
            finally:
                await ends.close()

        _with_parts(service, read)

    @app.command()
    def republish(
        topics: Annotated[list[str] | None, typer.Argument(help="all when none is named")] = None,
    ) -> None:
        """Publish the present state of every aggregate again, through the outbox."""

        async def again(parts: Parts, runtime: Runtime) -> None:
            from souk.chassis.republish import republish as publish_again

            unknown = set(topics or ()) - {topic.name for topic in parts.republishers}
            if unknown:
                raise typer.BadParameter(f"not a topic of {service.name}: {', '.join(sorted(unknown))}")
            chosen = {t: r for t, r in parts.republishers.items() if not topics or t.name in topics}
            _print({"republished": await publish_again(runtime.units, chosen)})

        _with_parts(service, again)

    @app.command()
    def rebuild(
        topics: Annotated[list[str] | None, typer.Argument(help="all when none is named")] = None,
    ) -> None:
        """Write read copies anew from their topics, while the service runs on."""

        async def again(parts: Parts, runtime: Runtime) -> None:
            from souk.chassis.rebuild import rebuild as build_again

            copies = parts.intake.copies if parts.intake else {}
            if unknown := set(topics or ()) - copies.keys():
                raise typer.BadParameter(
                    f"{service.name} keeps no copy of {', '.join(sorted(unknown))}; "
                    f"it does of {', '.join(sorted(copies)) or 'none'}"
                )
            rebuilt = await build_again(runtime.units, parts.intake, topics or copies) if parts.intake else {}
            _print({"rebuilt": rebuilt})

        _with_parts(service, again)

    @app.command()
    def check(
        patience: Annotated[float, typer.Option(min=0, help="seconds that a difference may last")] = 10.0,
    ) -> None:
        """Compare topics, rows and copies, and print what doesn't fit; the exit code is 1 when something
        doesn't. The service may go on meanwhile."""
        from souk.chassis import logs
        from souk.chassis.checking import check_service

        logs.configure(service.name, "WARNING")
        found, checked = _done(check_service(settings_or_exit(service.settings), patience))
        for one in found:
            _print(asdict(one))
        _print({"checked": checked, "findings": len(found)})
        raise typer.Exit(1 if found else 0)


def _deadletter(service: Service[Any]) -> typer.Typer:
    app = typer.Typer(help="Records that could not be applied.", no_args_is_help=True)

    @app.command(name="list")
    def list_(after: int = 0, limit: Annotated[int, typer.Option(min=1, max=1000)] = 100) -> None:
        """List parked records, oldest first; go on with --after and the last id."""

        async def show(parts: Parts, runtime: Runtime) -> None:
            from souk.chassis.deadletter import list_parked

            for record in await list_parked(runtime.units, after, limit):
                _print(asdict(record))

        _with_parts(service, show)

    @app.command(name="show")
    def show_(record: int) -> None:
        """Show one parked record with its headers, value and error."""

        async def show(parts: Parts, runtime: Runtime) -> None:
            from souk.chassis import deadletter

            found = await deadletter.show(runtime.units, record)
            if found is None:
                raise typer.BadParameter(f"no record {record} is parked")
            _print(asdict(found))

        _with_parts(service, show)

    @app.command()
    def retry(
        records: Annotated[list[int] | None, typer.Argument(help="all when none is named")] = None,
        after: Annotated[int, typer.Option(help="`last` of the run before")] = 0,
        limit: Annotated[int, typer.Option(min=1, max=500)] = 500,
    ) -> None:
        """Apply parked records again; those that fail stay parked. Go on with --after and `last`."""

        async def again(parts: Parts, runtime: Runtime) -> None:
            from souk.chassis import deadletter

            if parts.intake is None:
                raise typer.BadParameter(f"{service.name} reads no topics")
            _print(asdict(await deadletter.retry(runtime.units, parts.intake, records or None, limit, after)))

        _with_parts(service, again)

    @app.command()
    def drop(records: list[int]) -> None:
        """Delete parked records for good."""

        async def delete(parts: Parts, runtime: Runtime) -> None:
            from souk.chassis import deadletter

            _print({"dropped": await deadletter.drop(runtime.units, records)})

        _with_parts(service, delete)

    return app


def _run(service: Service[Any], mode: Mode) -> None:
    code = _wait(run(service, settings_or_exit(service.settings), mode, _exit_soon))
    raise typer.Exit(code)


def _exit_soon() -> None:
    """Whatever still holds the process after ten seconds of stopping, it ends."""
    watchdog = threading.Timer(_EXIT_SECONDS, os._exit, (1,))
    watchdog.daemon = True
    watchdog.start()


def _with_parts(service: Service[Any], command: Any) -> None:
    async def on_database() -> None:
        from souk.chassis import logs

        settings = settings_or_exit(service.settings)
        logs.configure(service.name, "WARNING")
        async with opened(service, settings, f"souk-{service.name} command") as (parts, runtime):
            await command(parts, runtime)

    _done(on_database())


def _done(work: Coroutine[Any, Any, T]) -> T:
    """What came of it. Raises typer.Exit(1), having said why, where database or Kafka were no help."""
    from aiokafka.errors import KafkaError

    from souk.chassis.database import is_refused, is_transient
    from souk.chassis.errors import explain

    try:
        return _wait(work)
    except Exception as error:
        if not (isinstance(error, KafkaError) or is_transient(error) or is_refused(error)):
            raise
        why = f"the database or Kafka that the settings name could not be used: {explain(error)}"
        typer.echo(f"Not done, for {why}", err=True)
        raise typer.Exit(_FAILED) from None


def _wait(work: Coroutine[Any, Any, T]) -> T:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _print(value: Any) -> None:
    typer.echo(json.dumps(value, default=_text, ensure_ascii=False))


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
