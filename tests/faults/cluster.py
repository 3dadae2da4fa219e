"""The whole suite as it runs on many machines, with each process and each connection in the hands of whoever
tests: three brokers, several workers a service, a link between every service and Kafka or its database.
"""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
from proxy import KafkaConversation, Link, PostgresConversation

from souk.chassis.clock import set_manual
from souk.contracts.topic import SERVICES, Service
from souk.local import kafka, provision, servers, suite, tokens
from souk.local.errors import StackError
from souk.local.folder import Folder, lock, open_folder, ports
from souk.local.process import Spec, printed
from souk.local.stack import Stack
from souk.local.supervisor import Supervisor

OPENING = datetime(2017, 9, 26, 6, tzinfo=UTC)
_COMMAND_SECONDS = 120

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Everything runs.

    stack: the servers' own addresses, past every link. gateway, standins: their base URLs. service_processes,
    brokers: by name. links: by `<service>.kafka` and `<service>.database`.
    """

    folder: Folder
    supervisor: Supervisor
    stack: Stack
    gateway: str
    standins: str
    service_processes: tuple[str, ...]
    brokers: tuple[str, ...]
    links: Mapping[str, Link]
    _ports: Mapping[str, int]
    _start: tuple[str, ...]

    def workers(self, service: Service) -> list[str]:
        return [name for name in self.service_processes if name.startswith(f"{service}-worker-")]

    @property
    def clock(self) -> Path:
        return self.folder.clock

    @property
    def pulses(self) -> dict[str, str]:
        """The `/internal/pulse` URL of every process that has work, by its name; of held ones none."""
        return {
            name: f"{self.address(name)}/internal/pulse"
            for name in self.service_processes
            if not name.endswith("-api") and self.supervisor.children[name].wanted.is_set()
        }

    def address(self, name: str) -> str:
        """The base URL of a process's own port."""
        return f"http://127.0.0.1:{self._ports[name]}"

    def pid(self, name: str) -> int | None:
        """The process id, while there is a process."""
        process = self.supervisor.children[name].process
        return process.pid if process is not None and process.returncode is None else None

    async def kill(self, name: str) -> None:
        """End a process, and all that it started, in the middle of what it does; it is started again.

        Returns when it is down; `ready` waits until it is back. Raises LookupError when it does not run.
        """
        self._expect(name)
        child = self.supervisor.children[name]
        ended = child.process
        self._signal(name, signal.SIGKILL)
        await self.supervisor.until(lambda: child.state != "ready" or child.process is not ended)

    def freeze(self, name: str) -> None:
        """Stop a process, and all that it started, between two instructions, until `thaw`.

        Raises LookupError when it does not run.
        """
        self._expect(name)
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self._signal(name, signal.SIGCONT)

    async def hold(self, name: str, *, in_order: bool = False) -> None:
        """End a process as `kill` does and keep it down until `restart`; returns when it is down.

        in_order: ask it to end, and kill it only when it doesn't in time.
        """
        child = self.supervisor.children[name]
        child.wanted.clear()
        if in_order:
            await self.supervisor.kill(name, signal.SIGTERM, hold=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(child.spec.stop_within):
                    await self.supervisor.until(lambda: child.state == "held")
        self._signal(name, signal.SIGKILL)
        await self.supervisor.until(lambda: child.state == "held")

    async def restart(self, name: str) -> None:
        """Stop a process in order, when it runs, and start it; returns when it is ready."""
        self._signal(name, signal.SIGCONT)
        await self.supervisor.restart(name)

    async def ready(self) -> None:
        """Returns when every process that is not held has started."""
        await self.supervisor.until(
            lambda: all(
                child.state in {"ready", "done", "held"} for child in self.supervisor.children.values()
            )
        )

    async def heal(self) -> None:
        """Make links sound, have what is frozen go on, start what is held, switch off what is left of faults
        outside; returns when all is ready."""
        for link in self.links.values():
            link.restore()
        for name in self.supervisor.children:
            self.thaw(name)
        held = [name for name, child in self.supervisor.children.items() if child.state == "held"]
        await asyncio.gather(*map(self.restart, held))
        await self.ready()
        async with httpx.AsyncClient(trust_env=False) as client:
            (await client.delete(f"{self.standins}/faults")).raise_for_status()

    async def lose_brokers(self) -> None:
        """Kill all brokers, delete their data and start them anew, with every topic, but without a record."""
        await asyncio.gather(*map(self.hold, self.brokers))
        await asyncio.gather(*map(self._restart_without_data, self.brokers))
        await asyncio.to_thread(provision.provision_all, self.stack.kafka.settings("admin"))

    async def _restart_without_data(self, broker: str) -> None:
        shutil.rmtree(self.folder.root / broker)
        prepare = self.supervisor.children[broker].spec.prepare
        assert prepare is not None
        await prepare()
        await self.restart(broker)

    def environment(self, service: Service) -> dict[str, str]:
        """What a command of a service must be told; it reaches the servers past the links."""
        return {
            **suite.shared_environment(self.folder, self._ports),
            **self.stack.environment(service),
        }

    async def command(self, service: Service, *arguments: str) -> list[Json]:
        """What `souk-<service> …` prints. Raises StackError with its complaint when it fails."""
        command = [*self._start, suite.script(service), *arguments]
        return await printed(command, self.environment(service), _COMMAND_SECONDS)

    def _expect(self, name: str) -> None:
        if self.pid(name) is None:
            raise LookupError(f"{name} does not run")

    def _signal(self, name: str, number: signal.Signals) -> None:
        """To a process and all that it started: PostgreSQL's are no part of its process group."""
        pid = self.pid(name)
        if pid is None:
            return
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            # So that it starts nothing more while it is asked what it has started.
            process.suspend()
            for each in (*process.children(recursive=True), process):
                with suppress(psutil.NoSuchProcess):
                    each.send_signal(number)


@asynccontextmanager
async def cluster(
    root: Path,
    *,
    brokers: int = 3,
    workers: int = 2,
    opening: datetime = OPENING,
    data: Path | None = None,
    start: Sequence[str] = (),
) -> AsyncIterator[Cluster]:
    """Run everything in the empty folder `root`, ready when the block begins, gone when it has ended.

    workers: of each service, beside a process for its API. opening: where the clock, moved by hand, stands.
    data: the videos that the stand-in of YouTube shows. start: words put before each command of a service.
    Raises StackError when something doesn't start.
    """
    folder = Folder(root)
    open_folder(folder)
    set_manual(folder.clock, opening)
    with lock(folder):
        made = _make(folder, servers.BROKERS[:brokers], workers, data, tuple(start))
        async with AsyncExitStack() as links:
            for link in made.links.values():
                await links.enter_async_context(link)
            try:
                await made.supervisor.start()
                if made.supervisor.failure:
                    raise StackError(made.supervisor.failure)
                yield made
            finally:
                await _end(made)


async def _end(running: Cluster) -> None:
    """At once: what is of interest has been read, and a frozen process would not stop in order."""
    for name in (*running.service_processes, *running.brokers):
        running.supervisor.children[name].wanted.clear()
        # One that did not start is the reason why all end.
        with suppress(LookupError):
            await running.kill(name)
    # PostgreSQL leaves shared memory behind when it is killed. This is its way to stop without delay.
    running.thaw("postgres")
    await running.supervisor.kill("postgres", signal.SIGQUIT, hold=True)
    await running.supervisor.stop()


def _make(
    folder: Folder, brokers: tuple[str, ...], workers: int, data: Path | None, start: tuple[str, ...]
) -> Cluster:
    names = {service: _processes(service, workers) for service in SERVICES}
    chosen = _choose_ports(folder, brokers, names)
    below = servers.servers(
        folder,
        len(brokers),
        {
            broker: {
                service.upper(): kafka.Listener(
                    chosen[f"{broker}.{service}"], chosen[f"{broker}.{service}.link"]
                )
                for service in SERVICES
            }
            for broker in brokers
        },
    )
    links = {
        f"{service}.kafka": Link(
            {chosen[f"{broker}.{service}.link"]: chosen[f"{broker}.{service}"] for broker in brokers},
            KafkaConversation,
        )
        for service in SERVICES
    } | {
        f"{service}.database": Link(
            {chosen[f"{service}.database"]: below.stack.postgres.port}, PostgresConversation
        )
        for service in SERVICES
    }
    tokens.signing_key(folder)
    above = [
        *_suite_specs(folder, chosen, below, data),
        *_service_specs(folder, chosen, below.stack, brokers, names, start),
    ]
    return Cluster(
        folder=folder,
        supervisor=Supervisor(folder, (*below.specs, *above)),
        stack=below.stack,
        gateway=f"http://127.0.0.1:{chosen['gateway']}",
        standins=f"http://127.0.0.1:{chosen[suite.STANDINS]}",
        service_processes=tuple(name for each in names.values() for name in each),
        brokers=brokers,
        links=links,
        _ports=chosen,
        _start=start,
    )


def _processes(service: Service, workers: int) -> dict[str, str]:
    """The processes of a service: its command's word by their name."""
    found = {f"{service}-api": "api"}
    found |= {f"{service}-worker-{number}": "worker" for number in range(1, workers + 1)}
    if service == "tracking":
        found[suite.REDIRECT] = "redirect"
    return found


def _choose_ports(
    folder: Folder, brokers: Sequence[str], names: Mapping[Service, Mapping[str, str]]
) -> dict[str, int]:
    wanted = ["gateway", "gateway-admin", suite.STANDINS, suite.STANDINS_SMTP]
    for service, processes in names.items():
        wanted += [*processes, f"{service}.database"]
        for broker in brokers:
            wanted += [f"{broker}.{service}", f"{broker}.{service}.link"]
    chosen = dict(ports(folder, dict.fromkeys(wanted)))
    return chosen | {service: chosen[f"{service}-api"] for service in SERVICES}


def _suite_specs(
    folder: Folder, chosen: Mapping[str, int], below: servers.Servers, data: Path | None
) -> list[Spec]:
    """What is neither a server nor a service."""
    standins = suite.standins_spec(folder, chosen, f"manual:{folder.clock}")
    if data:
        shown = {"SOUK_STANDINS_DATA": str(data.absolute())}
        standins = replace(standins, environment={**standins.environment, **shown})
    return [
        suite.topics_spec(folder, tuple(spec.name for spec in below.specs)),
        standins,
        suite.gateway_spec(folder, chosen),
    ]


def _service_specs(
    folder: Folder,
    chosen: Mapping[str, int],
    stack: Stack,
    brokers: Sequence[str],
    names: Mapping[Service, Mapping[str, str]],
    start: tuple[str, ...],
) -> list[Spec]:
    """Every process of the services, which find Kafka and their databases behind their links."""
    shared = suite.shared_environment(folder, chosen)
    found = []
    for service, processes in names.items():
        links = ",".join(f"127.0.0.1:{chosen[f'{broker}.{service}.link']}" for broker in brokers)
        behind = replace(
            stack,
            kafka=replace(stack.kafka, bootstrap=links),
            postgres=replace(stack.postgres, port=chosen[f"{service}.database"]),
        )
        environment = {**shared, **behind.environment(service)}
        found.append(suite.migration_spec(folder, service, environment))
        for name, word in processes.items():
            listen = f"SOUK_{'REDIRECT' if word == 'redirect' else service.upper()}_LISTEN"
            found.append(
                suite.service_spec(
                    name,
                    (*start, suite.script(service), word),
                    {**environment, listen: f"127.0.0.1:{chosen[name]}"},
                    chosen[name],
                    ("topics", f"{service}-migrate"),
                )
            )
    return found
