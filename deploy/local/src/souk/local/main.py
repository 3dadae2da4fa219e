"""The `souk` command."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec
from uuid import UUID

import typer

from souk.local import control
from souk.local.errors import StackError
from souk.local.folder import Folder, data_folder

P = ParamSpec("P")
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Runs souk on this machine.",
    pretty_exceptions_enable=False,
)
clock_app = typer.Typer(no_args_is_help=True, help="The suite's movable clock.")
app.add_typer(clock_app, name="clock")
INTERRUPTED = 130


def sentence(command: Callable[P, None]) -> Callable[P, None]:
    """Show what went wrong as one sentence on standard error, a line each for its notes, and leave with 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except StackError as error:
            print(error, *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
            raise typer.Exit(1) from None

    return run


@contextmanager
def interruptible() -> Iterator[None]:
    """The first SIGINT interrupts the block, which stops what it started; those after it do nothing.

    Two are the rule where no terminal is: `uv run` passes on what its whole group has got. "Stopped." is
    said last. After a block that was not interrupted SIGINT has the effect that it had before.
    """
    after = before = signal.getsignal(signal.SIGINT)

    def interrupt(_: int, __: object) -> None:
        nonlocal after
        # Python's end gives back its usual effect to a signal that a function answers.
        after = signal.SIG_IGN
        signal.signal(signal.SIGINT, lambda *_: None)
        raise KeyboardInterrupt

    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGINT, after)


@app.command()
@sentence
def up(
    servers_only: Annotated[
        bool, typer.Option("--servers-only", help="Kafka, PostgreSQL and Valkey, without the services.")
    ] = False,
    clock: Annotated[
        str | None,
        typer.Option(
            help="In a new folder: a clock that stands at this instant, like 2017-09-18T12:00Z, until"
            " `souk clock advance` moves it."
        ),
    ] = None,
) -> None:
    """Start the suite in the background and print where it is."""
    from souk.local import progress

    folder = data_folder()
    if clock is not None:
        control.freeze(folder, _instant(clock))
    began = time.monotonic()
    with interruptible(), control.Supervised(folder) as suite:
        suite.launch(servers_only=servers_only, lifeline=False)
        progress.show_start(control.follow(folder))
        suite.leave()
    progress.show_addresses(folder, servers_only=servers_only, took=time.monotonic() - began)


@app.command()
@sentence
def down() -> None:
    """Stop everything; the data stays."""
    folder = data_folder()
    print("Stopped." if control.stop(folder) else f"Nothing runs in {folder.root}.")


@app.command()
@sentence
def status() -> None:
    """Each process, its state and its process id. Leaves with 3 when nothing runs."""
    from souk.local import progress

    folder = data_folder()
    processes = control.status(folder)
    if not processes:
        print(control.nothing_runs(folder), file=sys.stderr)
        raise typer.Exit(3)
    progress.show_table(processes)


@app.command()
@sentence
def logs(
    name: str,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=100_000)] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """The last lines that a process wrote; those of `supervisor` tell how restarted ones had ended."""
    folder = data_folder()
    log = folder.log(name)
    known = sorted(path.stem for path in folder.logs.glob("*.log"))
    if name not in known:
        raise StackError(f"There is no log of {name}: choose one of {', '.join(known) or 'none yet'}.")
    sys.stdout.flush()
    tail = ["tail", "-n", str(lines), *(["-F"] if follow else []), str(log)]
    os.execvp(tail[0], tail)  # noqa: S606


@app.command()
@sentence
def token(
    role: Annotated[
        str, typer.Option("--as", help="staff, advertiser, agency, talent-agency or influencer.")
    ],
    organisation: Annotated[UUID | None, typer.Option(help="Organisation id.")] = None,
    user: Annotated[UUID | None, typer.Option(help="User id.")] = None,
    influencer: Annotated[UUID | None, typer.Option(help="Influencer id.")] = None,
    expires_in: Annotated[int, typer.Option(help="Seconds.")] = 3600,
) -> None:
    """Sign a token for development, with the key of the suite in this folder (or SOUK_DATA)."""
    from souk.local import tokens
    from souk.local.folder import expect_started

    matching = [known for known in tokens.ROLES if known == role]
    if not matching:
        raise StackError(f"There is no role {role}: choose one of {', '.join(tokens.ROLES)}.")
    folder = data_folder()
    expect_started(folder)
    print(
        tokens.token(
            folder,
            matching[0],
            user=user,
            organisation=organisation,
            influencer=influencer,
            expires_in=expires_in,
        )
    )


@app.command()
@sentence
def kill(
    name: str,
    number: Annotated[str, typer.Option("--signal", "-s", help="A signal's name.")] = "KILL",
    hold: Annotated[bool, typer.Option("--hold", help="Keep it down until `souk restart`.")] = False,
) -> None:
    """Send a signal to a process; one that dies is started again."""
    wanted = f"SIG{number.upper().removeprefix('SIG')}"
    if wanted not in signal.Signals.__members__:
        raise StackError(f"There is no signal {number}: try TERM or KILL.")
    control.kill(data_folder(), name, signal.Signals[wanted], hold=hold)


@app.command()
@sentence
def restart(name: str) -> None:
    """Stop a process, start it, and wait until it is ready."""
    control.restart(data_folder(), name)


@app.command(context_settings={"allow_interspersed_args": False})
@sentence
def run(
    service: str,
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Of `souk-<service>`; --help lists them.")
    ] = None,
) -> None:
    """Run `souk-<service> …` (lag, deadletter, republish) for the suite that runs in this folder."""
    from souk.contracts.topic import SERVICES
    from souk.local import suite
    from souk.local.folder import remembered_ports

    matching = [known for known in SERVICES if known == service]
    if not matching:
        raise StackError(f"There is no service {service}: choose one of {', '.join(SERVICES)}.")
    folder = data_folder()
    control.expect_running(folder)
    environment = suite.service_environment(folder, matching[0], remembered_ports(folder))
    script = suite.script(matching[0])
    os.execve(script, [script, *(arguments or ())], {**os.environ, **environment})  # noqa: S606


@app.command(context_settings={"allow_interspersed_args": False})
@sentence
def consume(
    topic: str,
    options: Annotated[
        list[str] | None, typer.Argument(help="Of Kafka's console consumer, like --from-beginning.")
    ] = None,
) -> None:
    """Show the records of a public topic as they come, until Ctrl-C."""
    from souk.local import console

    folder = data_folder()
    control.expect_running(folder)
    console.consume(folder, topic, options or ())


@clock_app.command("show")
@sentence
def show_clock() -> None:
    """The instant at which the suite's clock stands, or `system`."""
    from souk.chassis.clock import ManualClock

    folder = data_folder()
    control.expect_running(folder)
    path = folder.clock
    print(ManualClock(path).now().isoformat() if path.exists() else "system")


@clock_app.command("advance")
@sentence
def advance_clock(
    to: Annotated[str, typer.Argument(help="ISO 8601, like 2017-10-01T12:00:00Z; UTC when it has no zone.")],
) -> None:
    """Move the suite's clock, stopping wherever something is due, until the suite is at rest there."""
    from rich.console import Console

    from souk.local import clock, suite
    from souk.local.demo.progress import showing

    folder = data_folder()
    target = _instant(to)
    control.expect_running(folder)
    if not folder.clock.exists():
        raise StackError(f"The suite in {folder.root} goes by the system's clock, which can't be moved.")
    with showing(Console(stderr=True)) as progress:
        asyncio.run(clock.advance(folder.clock, suite.pulses(folder), target, arrived=progress.clock))


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise StackError(f"{text} is no instant: give one like 2017-10-01T12:00:00Z.") from error
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


@app.command()
@sentence
def provision() -> None:
    """Create or update the topics and rights on the Kafka that SOUK_KAFKA names.

    SOUK_KAFKA_PROTOCOL, _MECHANISM and _CA as for the services; SOUK_ADMIN_KAFKA_USER and _PASSWORD name a
    principal that may administer.
    """
    from souk.local import provision as provisioning
    from souk.local.stack import kafka_of_environment

    kafka = kafka_of_environment()
    if kafka is None:
        raise StackError("SOUK_KAFKA is not set: set it to the brokers, as host:port,host:port.")
    if kafka.protocol.startswith("SASL") and "admin" not in kafka.logins:
        raise StackError("SOUK_ADMIN_KAFKA_USER is not set: set it to a principal that may administer Kafka.")
    if kafka.protocol.startswith("SASL") and not kafka.logins["admin"].password:
        raise StackError(
            "SOUK_ADMIN_KAFKA_PASSWORD is not set: set it to the password of SOUK_ADMIN_KAFKA_USER."
        )
    settings = kafka.settings("admin")
    provisioning.expect_brokers(settings)
    done = provisioning.provision_all(settings)
    print(
        f"{done.topics} topics: {done.made} made, the others were there; "
        f"{done.given} rights given, {done.taken} taken away."
    )


@app.command()
@sentence
def demo(
    hashtags: Annotated[
        str,
        typer.Option(
            help="Of campaign A, comma-separated: three or more, and some video carries one of them."
        ),
    ] = "comedy,funny,humor",
    data: Annotated[
        Path | None, typer.Option(help="A file of trending videos; the packaged one when not given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same figures.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the suite up.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")
    ] = False,
) -> None:
    """Play a marketplace month in a fresh data folder (SOUK_DATA, or .souk/demo) and print the statement."""
    from souk.local.demo import command
    from souk.local.standins.catalogue import PACKAGED

    wanted = dict.fromkeys(tag for each in hashtags.split(",") if (tag := "".join(each.split()).lower()))
    if len(wanted) < 3:
        raise StackError(
            f"--hashtags names {len(wanted)} where a social campaign needs three: give more, comma-separated."
        )
    folder = data_folder() if os.environ.get("SOUK_DATA") else Folder(data_folder().root / "demo")
    with interruptible():
        command.run(
            folder,
            data=(data or PACKAGED).absolute(),
            hashtags=list(wanted),
            seed=seed,
            keep=keep,
            as_json=as_json,
        )


def main() -> None:
    app()


if __name__ == "__main__":
    main()
