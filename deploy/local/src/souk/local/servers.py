"""The servers of the embedded stack, put together for one data folder."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from souk.local import kafka, postgres, valkey
from souk.local.errors import StackError
from souk.local.folder import Folder, passwords, ports
from souk.local.process import Spec
from souk.local.stack import SECRETS, Stack, of_folder

NAMES = ("kafka", "postgres", "valkey")


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


def server_ports(folder: Folder) -> Mapping[str, int]:
    fixed: dict[str, str | None] = {
        "postgres": "SOUK_POSTGRES_PORT",
        "valkey": "SOUK_VALKEY_PORT",
        "kafka": "SOUK_KAFKA_PORT",
        "kafka-controller": None,
    }
    for number in range(2, brokers() + 1):
        fixed |= {f"kafka-{number}": None, f"kafka-{number}-controller": None}
    return ports(folder, fixed)


def servers(folder: Folder) -> Servers:
    """Choose ports, generate secrets, describe the processes. Raises StackError."""
    secrets = passwords(folder, SECRETS)
    chosen = server_ports(folder)
    nodes = [
        kafka.Node(number, chosen[name], chosen[f"{name}-controller"], folder.root / name)
        for number, name in enumerate(("kafka", "kafka-2", "kafka-3")[: brokers()], start=1)
    ]
    specs = (
        *kafka.specs(nodes, secrets),
        postgres.spec(folder.root / "postgres", chosen["postgres"], secrets),
        valkey.spec(folder.root / "valkey", chosen["valkey"], secrets),
    )
    return Servers(specs, of_folder(folder, chosen))
