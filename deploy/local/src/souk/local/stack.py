"""Where the servers are and who may log in: what everything that runs on the stack needs to know."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from souk.contracts.topic import SERVICES
from souk.local.errors import StackError
from souk.local.folder import PRINCIPALS, Folder, expect_started, passwords, remembered_ports

if TYPE_CHECKING:
    from souk.chassis.settings import KafkaAccess, KafkaProtocol

SECRETS = (
    *(f"kafka.{name}" for name in (*PRINCIPALS, "controller")),
    *(f"postgres.{name}" for name in (*SERVICES, "admin")),
    *("valkey", "tracking", "unsubscribe", "shop", "smtp", "youtube", "vapid"),
)
AUDIENCE = "souk"


@dataclass(frozen=True, slots=True)
class Login:
    """What one principal needs to reach Kafka."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Kafka:
    """bootstrap: `host:port,host:port`. logins: by principal, empty where the brokers ask for none."""

    bootstrap: str
    protocol: str
    mechanism: str
    ca: str
    logins: Mapping[str, Login]

    def settings(self, principal: str) -> dict[str, str]:
        """Settings of confluent_kafka (librdkafka) for `principal`."""
        settings = {"bootstrap.servers": self.bootstrap, "security.protocol": self.protocol}
        if self.ca:
            settings["ssl.ca.location"] = self.ca
        if self.protocol.startswith("SASL"):
            login = self.logins[principal]
            settings["sasl.mechanism"] = self.mechanism
            settings["sasl.username"] = login.user
            settings["sasl.password"] = login.password
        return settings

    def access(self, principal: str) -> "KafkaAccess":
        """As `principal`, for the chassis; its `client()` are the arguments of an aiokafka client."""
        # Here, so that the commands that don't speak to Kafka start without it.
        from pydantic import SecretStr

        from souk.chassis.settings import KafkaAccess

        login = self.logins.get(principal, Login("", ""))
        return KafkaAccess(
            servers=tuple(self.bootstrap.split(",")),
            protocol=cast("KafkaProtocol", self.protocol),
            mechanism=self.mechanism,
            ca=Path(self.ca) if self.ca else None,
            user=login.user,
            password=SecretStr(login.password),
        )

    def environment(self, principal: str) -> dict[str, str]:
        """The variables of `souk.chassis.settings` for `principal`."""
        variables = {
            "SOUK_KAFKA": self.bootstrap,
            "SOUK_KAFKA_PROTOCOL": self.protocol,
            "SOUK_KAFKA_MECHANISM": self.mechanism,
            "SOUK_KAFKA_CA": self.ca,
        }
        if login := self.logins.get(principal):
            variables[f"SOUK_{principal.upper()}_KAFKA_USER"] = login.user
            variables[f"SOUK_{principal.upper()}_KAFKA_PASSWORD"] = login.password
        return variables


@dataclass(frozen=True, slots=True)
class Postgres:
    host: str
    port: int
    passwords: Mapping[str, str] = field(repr=False)

    def url(self, role: str, database: str | None = None) -> str:
        """The connection URL of `role` for `database` (its own when None)."""
        name = database or ("postgres" if role == "admin" else role)
        return f"postgresql://{role}:{quote(self.passwords[role], safe='')}@{self.host}:{self.port}/{name}"


@dataclass(frozen=True, slots=True)
class Stack:
    """The servers, wherever they run."""

    kafka: Kafka
    postgres: Postgres
    redis: str = field(repr=False)

    def environment(self, service: str) -> dict[str, str]:
        """SOUK_KAFKA…, SOUK_<SERVICE>_DATABASE and SOUK_REDIS of one service."""
        return {
            **self.kafka.environment(service),
            f"SOUK_{service.upper()}_DATABASE": self.postgres.url(service),
            "SOUK_REDIS": self.redis,
        }


def of_folder(folder: Folder, ports: Mapping[str, int] | None = None) -> Stack:
    """The embedded stack of `folder`, which has been started there at least once."""
    expect_started(folder)
    known = ports or remembered_ports(folder)
    secrets = passwords(folder, SECRETS)
    brokers = [f"127.0.0.1:{known[name]}" for name in ("kafka", "kafka-2", "kafka-3") if name in known]
    return Stack(
        kafka=Kafka(
            bootstrap=",".join(brokers),
            protocol="SASL_PLAINTEXT",
            mechanism="SCRAM-SHA-512",
            ca="",
            logins={name: Login(name, secrets[f"kafka.{name}"]) for name in PRINCIPALS},
        ),
        postgres=Postgres(
            host="127.0.0.1",
            port=known["postgres"],
            passwords={name: secrets[f"postgres.{name}"] for name in (*SERVICES, "admin")},
        ),
        redis=f"redis://:{secrets['valkey']}@127.0.0.1:{known['valkey']}/0",
    )


def kafka_of_environment() -> Kafka | None:
    """The brokers that SOUK_KAFKA names (with SOUK_<PRINCIPAL>_KAFKA_USER and _PASSWORD where they ask for
    them), or None when it names none."""
    if not os.environ.get("SOUK_KAFKA"):
        return None
    return Kafka(
        bootstrap=os.environ["SOUK_KAFKA"],
        protocol=os.environ.get("SOUK_KAFKA_PROTOCOL") or "PLAINTEXT",
        mechanism=os.environ.get("SOUK_KAFKA_MECHANISM") or "SCRAM-SHA-512",
        ca=os.environ.get("SOUK_KAFKA_CA", ""),
        logins={
            name: Login(user, os.environ.get(f"SOUK_{name.upper()}_KAFKA_PASSWORD", ""))
            for name in PRINCIPALS
            if (user := os.environ.get(f"SOUK_{name.upper()}_KAFKA_USER"))
        },
    )


def of_environment() -> Stack | None:
    """The servers that the environment names, or None when it names none.

    Kafka as in `kafka_of_environment`; SOUK_POSTGRES is `host:port` with SOUK_<ROLE>_POSTGRES_PASSWORD for
    each service and `admin`; SOUK_REDIS names Valkey. Raises StackError when only some are there.
    """
    kafka = kafka_of_environment()
    if kafka is None:
        return None
    roles = (*SERVICES, "admin")
    needed = ["SOUK_POSTGRES", "SOUK_REDIS", *(f"SOUK_{role.upper()}_POSTGRES_PASSWORD" for role in roles)]
    if missing := [name for name in needed if not os.environ.get(name)]:
        raise StackError(f"SOUK_KAFKA is set, so {', '.join(missing)} must be set too.")
    host, _, port = os.environ["SOUK_POSTGRES"].rpartition(":")
    return Stack(
        kafka=kafka,
        postgres=Postgres(
            host=host,
            port=int(port),
            passwords={role: os.environ[f"SOUK_{role.upper()}_POSTGRES_PASSWORD"] for role in roles},
        ),
        redis=os.environ["SOUK_REDIS"],
    )
