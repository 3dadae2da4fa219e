"""The command line of a service whose settings are not all there."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = """
from typing import Annotated, ClassVar
from pydantic import Field, SecretStr, field_validator, model_validator
from souk.chassis.commands import commands
from souk.chassis.process import Parts, Service
from souk.chassis.settings import ServiceSettings

class Settings(ServiceSettings):
    service: ClassVar[str] = "billing"

    seal: Annotated[SecretStr, Field(min_length=16)] = SecretStr("long enough for a seal")
    key: SecretStr | None = None

    @field_validator("key")
    @classmethod
    def quote(cls, key):
        if key is not None:
            raise ValueError(f"{key.get_secret_value()} is no key")

    @model_validator(mode="after")
    def quote_too(self):
        if self.kafka_user:
            raise ValueError(f"{self.kafka_user} can't open {self.database.get_secret_value()}")
        return self

commands(Service("billing", Settings, lambda settings: Parts()))()
"""


def billing(folder: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    main = folder / "main.py"
    main.write_text(MAIN)
    alone = {name: value for name, value in os.environ.items() if not name.startswith("SOUK_")}
    return subprocess.run(
        [sys.executable, str(main), *arguments],
        env={**alone, **settings},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    ["check", "lag", "deadletter list", "republish", "rebuild", "migrate", "all"],
)
def test_a_command_names_the_settings_that_are_missing(tmp_path: Path, command: str) -> None:
    answer = billing(tmp_path, *command.split())

    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == (
        "Missing settings: SOUK_BILLING_KAFKA or SOUK_KAFKA, SOUK_BILLING_DATABASE or SOUK_DATABASE\n"
    )


@pytest.mark.parametrize("command", ["check", "lag", "deadletter list", "migrate"])
def test_a_command_that_reaches_nobody_says_so_in_a_sentence(tmp_path: Path, command: str) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{nobody.getsockname()[1]}"
        answer = billing(
            tmp_path, *command.split(),
            SOUK_KAFKA=place, SOUK_DATABASE=f"postgresql://billing:hunter2@{place}/billing",
        )  # fmt: skip

    assert (answer.returncode, answer.stdout) == (1, "")
    last = answer.stderr.splitlines()[-1]
    assert last.startswith("Not done, for the database or Kafka that the settings name could not be used: ")
    assert "Traceback" not in answer.stderr
    assert "hunter" not in answer.stderr


def test_a_command_names_the_settings_that_are_wrong_without_their_values(tmp_path: Path) -> None:
    answer = billing(
        tmp_path, "check",
        SOUK_KAFKA="127.0.0.1:9092", SOUK_LOG_LEVEL="loud",
        SOUK_BILLING_SEAL="hunter2", SOUK_BILLING_KEY="hunter3",
    )  # fmt: skip

    missing, wrong = answer.stderr.splitlines()
    assert (answer.returncode, answer.stdout) == (2, "")
    assert missing == "Missing settings: SOUK_BILLING_DATABASE or SOUK_DATABASE"
    assert wrong.startswith("Wrong settings: SOUK_LOG_LEVEL (")
    assert wrong.endswith("), SOUK_BILLING_SEAL (too_short), SOUK_BILLING_KEY (value_error)")
    assert "hunter" not in answer.stderr
    assert "loud" not in answer.stderr


@pytest.mark.parametrize(
    "url",
    [
        *("hunter2", "postgresql:hunter2", "mysql://billing:hunter2@db/billing"),
        "postgresql://billing:hunter2@db:port/billing",
    ],
)
def test_an_address_that_is_no_databases_is_named_without_its_value(tmp_path: Path, url: str) -> None:
    answer = billing(tmp_path, "check", SOUK_KAFKA="127.0.0.1:9092", SOUK_DATABASE=url)

    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == "Wrong settings: SOUK_DATABASE (not_a_postgresql_url)\n"


def test_settings_that_are_wrong_together_are_told_without_their_values(tmp_path: Path) -> None:
    answer = billing(
        tmp_path, "check",
        SOUK_KAFKA="127.0.0.1:9092", SOUK_KAFKA_USER="nobody", SOUK_DATABASE="postgresql://hunter2@db",
    )  # fmt: skip

    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == "Wrong settings: several together (value_error)\n"
