"""The command's parts that need no running suite, and what the suite tells its processes."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from souk.chassis.clock import set_manual
from souk.contracts.topics import TOPICS
from souk.local import suite
from souk.local.folder import Folder, open_folder
from souk.local.process import Spec
from souk.local.servers import servers
from souk.local.stack import Stack
from souk.notify.channels.smtp import read_server
from souk.notify.channels.webpush import read_key

SOUK = str(Path(sys.executable).parent / "souk")


def souk(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [SOUK, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def specs_of(root: Path) -> dict[str, Spec]:
    folder = Folder(root)
    open_folder(folder)
    servers(folder)
    return {spec.name: spec for spec in suite.specs(folder)}


def test_clock_shows_the_folders_instant_or_that_it_is_the_systems(tmp_path: Path) -> None:
    system = souk("clock", "show", SOUK_DATA=str(tmp_path))
    set_manual(tmp_path / "clock", datetime(2017, 9, 14, 12, tzinfo=UTC))
    manual = souk("clock", "show", SOUK_DATA=str(tmp_path))

    assert (system.stdout, manual.stdout) == ("system\n", "2017-09-14T12:00:00+00:00\n")


@pytest.mark.parametrize("to", ["2017-10-01", "tomorrow"])
def test_a_clock_that_cannot_be_moved_is_one_sentence(tmp_path: Path, to: str) -> None:
    answer = souk("clock", "advance", to, SOUK_DATA=str(tmp_path))

    assert answer.returncode == 1
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1


def test_provision_makes_every_topic_on_the_kafka_that_the_environment_names(stack: Stack) -> None:
    answer = souk("provision", **stack.kafka.environment("admin"))

    assert answer.returncode == 0, answer.stderr
    found = AdminClient(stack.kafka.settings("admin")).list_topics(timeout=20).topics
    assert {topic.name for topic in TOPICS} <= set(found)


def test_provision_without_a_kafka_or_a_login_is_one_sentence() -> None:
    nowhere = souk("provision", SOUK_KAFKA="")
    nobody = souk(
        "provision",
        SOUK_KAFKA="127.0.0.1:1",
        SOUK_KAFKA_PROTOCOL="SASL_SSL",
        SOUK_ADMIN_KAFKA_USER="",
    )

    assert [answer.returncode for answer in (nowhere, nobody)] == [1, 1]
    assert nowhere.stderr.startswith("SOUK_KAFKA is not set")
    assert nobody.stderr.startswith("SOUK_ADMIN_KAFKA_USER is not set")


def test_the_services_are_told_where_the_stand_ins_are(tmp_path: Path) -> None:
    found = specs_of(tmp_path)
    standins, notify = found["standins"].environment, found["notify"].environment

    url = f"http://127.0.0.1:{standins['SOUK_STANDINS_HTTP']}"
    assert (notify["SOUK_YOUTUBE_URL"], notify["SOUK_PUSH_ALLOWED"]) == (url, url)
    assert notify["SOUK_YOUTUBE_KEY"] == standins["SOUK_STANDINS_YOUTUBE_KEY"]
    server = read_server(notify["SOUK_SMTP"])
    assert str(server.port) == standins["SOUK_STANDINS_SMTP"]
    assert server.password == standins["SOUK_STANDINS_SMTP_PASSWORD"]
    assert read_key(notify["SOUK_PUSH_VAPID_KEY"])
    assert "standins" not in found["notify"].after


def test_secrets_of_a_folder_stay(tmp_path: Path) -> None:
    first, again = (specs_of(tmp_path)["notify"].environment for _ in range(2))

    assert first["SOUK_PUSH_VAPID_KEY"] == again["SOUK_PUSH_VAPID_KEY"]
    assert first["SOUK_SMTP"] == again["SOUK_SMTP"]


def test_what_the_caller_sets_goes_first_and_its_file_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUK_SMTP", "smtps://mail.example")
    monkeypatch.setenv("SOUK_STANDINS_DATA", "videos.csv")
    monkeypatch.chdir(tmp_path)

    found = specs_of(tmp_path / "data")

    assert found["notify"].environment["SOUK_SMTP"] == "smtps://mail.example"
    assert found["standins"].environment["SOUK_STANDINS_DATA"] == str(tmp_path / "videos.csv")
