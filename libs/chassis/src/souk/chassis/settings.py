"""What a service is told by its environment."""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, PositiveInt, SecretStr, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

_NONE = SecretStr("")

KafkaProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]


def _of_postgresql(value: SecretStr) -> SecretStr:
    """The error's type alone is told of a secret, so it says what is wrong."""
    # Not at the top: a command that only tells of itself needs no SQLAlchemy.
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        driver = make_url(value.get_secret_value()).drivername
    except (ArgumentError, ValueError):
        driver = ""
    if driver not in {"postgresql", "postgres"}:
        raise PydanticCustomError("not_a_postgresql_url", "postgresql://user:password@host:port/database")
    return value


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """Where Kafka is and as whom to speak to it."""

    servers: tuple[str, ...]
    protocol: KafkaProtocol = "PLAINTEXT"
    mechanism: str = "SCRAM-SHA-512"
    ca: Path | None = None
    user: str = ""
    password: SecretStr = _NONE

    def client(self) -> dict[str, Any]:
        """Keyword arguments of every aiokafka client."""
        access: dict[str, Any] = {
            "bootstrap_servers": list(self.servers),
            "security_protocol": self.protocol,
        }
        if self.protocol.endswith("SSL"):
            access["ssl_context"] = ssl.create_default_context(cafile=str(self.ca) if self.ca else None)
        if self.protocol.startswith("SASL"):
            access |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password.get_secret_value(),
            }
        return access

    def admin(self) -> dict[str, str | int | float | bool]:
        """Configuration of confluent_kafka.admin.AdminClient."""
        access: dict[str, str | int | float | bool] = {
            "bootstrap.servers": ",".join(self.servers),
            "security.protocol": self.protocol,
            "socket.timeout.ms": 5_000,
            "log_level": 2,
        }
        if self.ca:
            access["ssl.ca.location"] = str(self.ca)
        if self.protocol.startswith("SASL"):
            access |= {
                "sasl.mechanisms": self.mechanism,
                "sasl.username": self.user,
                "sasl.password": self.password.get_secret_value(),
            }
        return access


class ServiceSettings(BaseSettings):
    """Settings of one service; a service's own are a subclass that sets `service`.

    A field `x` is read from SOUK_<SERVICE>_X, else from SOUK_X: what is one service's alone
    (database, principal, address) and what is the suite's (Kafka, clock) need no other rule.
    """

    model_config = SettingsConfigDict(env_prefix="SOUK_", extra="ignore", frozen=True)

    service: ClassVar[str]

    kafka: str
    kafka_protocol: KafkaProtocol = "PLAINTEXT"
    kafka_mechanism: str = "SCRAM-SHA-512"
    kafka_ca: Path | None = None
    kafka_user: str = ""
    kafka_password: SecretStr = SecretStr("")
    database: Annotated[SecretStr, AfterValidator(_of_postgresql)]
    redis: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    listen: str = "127.0.0.1:0"
    oidc_issuer: str = "urn:souk:issuer"
    oidc_audience: str = "souk"
    oidc_jwks: str = ""
    clock: str = "system"
    otlp: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    public_url: str = "http://127.0.0.1:8080"
    park_run: PositiveInt = 20
    """Records parked in a row at which the breaker stops a partition. Raise it for a while to let a
    run of records that nobody will ever read be parked."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        own = EnvSettingsSource(settings_cls, env_prefix=f"SOUK_{cls.service.upper()}_")
        return (init_settings, own, env_settings)

    def kafka_access(self) -> KafkaAccess:
        return KafkaAccess(
            servers=tuple(self.kafka.split(",")),
            protocol=self.kafka_protocol,
            mechanism=self.kafka_mechanism,
            ca=self.kafka_ca,
            user=self.kafka_user,
            password=self.kafka_password,
        )


def complaint(settings: type[ServiceSettings], error: ValidationError) -> str:
    """Which settings are missing and which are wrong, a line each, by the variables that they are read from.

    No secret: what is wrong with one, or with several settings together, is told by the error's type alone,
    since a validator's message may quote them.
    """
    missing, wrong = [], []
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        if not each["loc"]:
            wrong.append(f"several together ({each['type']})")
            continue
        name = str(each["loc"][0])
        field = name.upper()
        own, shared = f"SOUK_{settings.service.upper()}_{field}", f"SOUK_{field}"
        if each["type"] == "missing":
            missing.append(f"{own} or {shared}")
        else:
            secret = _is_secret(settings.model_fields[name].annotation)
            why = each["type"] if secret else each["msg"].removeprefix("Value error, ")
            wrong.append(f"{own if own in os.environ else shared} ({why})")
    lines = (("Missing settings", missing), ("Wrong settings", wrong))
    return "\n".join(f"{what}: {', '.join(names)}" for what, names in lines if names)


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_is_secret, get_args(annotation)))
