"""The servers of the embedded stack, put together for one data folder."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from souk.local import kafka, postgres, valkey
from souk.local.errors import StackError
from souk.local.folder import Folder, passwords, ports
from souk.local.process import Spec
from souk.local.stack import SECRETS, Stack, of_folder

BROKERS = ("kafka", "kafka-2", "kafka-3")
_NO_LISTENERS: Mapping[str, Mapping[str, kafka.Listener]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Servers:
    """specs: what the supervisor runs; stack: where clients find it."""

    specs: tuple[Spec, ...]
    stack: Stack


def brokers() -> int:
    """How many Kafka brokers this stack has (SOUK_KAFKA_BROKERS: 1, or 3 to try replication)."""
    text = os.environ.get("SOUK_KAFKA_BROKERS", "1")
    if text not in {"1", "3"}:
        raise StackError(f"SOUK_KAFKA_BROKERS={text} is not possible: set it to 1 or 3.")
    return int(text)


def names() -> tuple[str, ...]:
    """The processes of the servers."""
    return (*BROKERS[: brokers()], "postgres", "valkey")


def server_ports(folder: Folder, count: int) -> Mapping[str, int]:
    fixed: dict[str, str | None] = {
        "postgres": "SOUK_POSTGRES_PORT",
        "valkey": "SOUK_VALKEY_PORT",
        "kafka": "SOUK_KAFKA_PORT",
        "kafka-controller": None,
    }
    for name in BROKERS[1:count]:
        fixed |= {name: None, f"{name}-controller": None}
    return ports(folder, fixed)


def servers(
    folder: Folder,
    count: int | None = None,
    listeners: Mapping[str, Mapping[str, kafka.Listener]] = _NO_LISTENERS,
) -> Servers:
    """Choose ports, generate secrets, describe the processes. Raises StackError.

    count: of brokers (None: what the environment says). listeners: more of each broker's, by its name.
    """
    secrets = passwords(folder, SECRETS)
    count = count or brokers()
    chosen = server_ports(folder, count)
    nodes = [
        kafka.Node(
            number, chosen[name], chosen[f"{name}-controller"], folder.root / name, listeners.get(name, {})
        )
        for number, name in enumerate(BROKERS[:count], start=1)
    ]
    specs = (
        *kafka.specs(nodes, secrets),
        postgres.spec(folder.root / "postgres", chosen["postgres"], secrets),
        valkey.spec(folder.root / "valkey", chosen["valkey"], secrets),
    )
    return Servers(specs, of_folder(folder, chosen))
