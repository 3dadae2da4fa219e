"""The command's parts that need no running suite, and what the suite tells its processes."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
import typer
from confluent_kafka.admin import AdminClient

from souk.chassis.clock import set_manual
from souk.contracts.topic import SERVICES, Topic
from souk.contracts.topics import TOPICS
from souk.contracts.topics.campaigns import CAMPAIGNS
from souk.contracts.topics.contacts import CONTACTS
from souk.local import progress, suite
from souk.local.console import no_topic
from souk.local.errors import StackError
from souk.local.folder import Folder, free_port, lock, open_folder, ports
from souk.local.main import interruptible, sentence
from souk.local.process import Spec
from souk.local.servers import servers
from souk.local.stack import Stack
from souk.local.testing import MakeTopics
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


@pytest.fixture
def manual_clock(stack_folder: Folder | None) -> Iterator[Path]:
    """The clock of the running servers, which have no use for it."""
    if stack_folder is None:
        pytest.skip("the servers are not ours")
    yield stack_folder.clock
    stack_folder.clock.unlink(missing_ok=True)


def test_clock_shows_the_instant_of_what_runs_or_that_it_is_the_systems(manual_clock: Path) -> None:
    folder = str(manual_clock.parent)
    system = souk("clock", "show", SOUK_DATA=folder)
    set_manual(manual_clock, datetime(2017, 9, 14, 12, tzinfo=UTC))
    manual = souk("clock", "show", SOUK_DATA=folder)

    assert (system.stdout, manual.stdout) == ("system\n", "2017-09-14T12:00:00+00:00\n")


@pytest.mark.parametrize(
    ("command", "code"),
    [("status", 3), ("clock show", 1), ("run billing lag", 1)],
    ids=["status", "clock", "run"],
)
def test_where_nothing_runs_the_folder_is_named(tmp_path: Path, command: str, code: int) -> None:
    answer = souk(*command.split(), SOUK_DATA=str(tmp_path / "none"))

    assert (answer.returncode, answer.stdout) == (code, "")
    assert answer.stderr == (
        f"Nothing runs in {tmp_path / 'none'}: start it with `souk up`, or set SOUK_DATA to the folder in"
        " which it runs.\n"
    )


def test_what_a_failure_left_is_told_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    failure = StackError("Kafka failed.")
    failure.add_note("It doesn't stop.")

    @sentence
    def fail() -> None:
        raise failure

    with pytest.raises(typer.Exit):
        fail()

    assert capsys.readouterr().err == "Kafka failed.\nIt doesn't stop.\n"


@pytest.mark.parametrize(
    ("end", "effect"),
    [
        (None, signal.default_int_handler),
        (StackError("Kafka failed."), signal.default_int_handler),
        (signal.SIGINT, signal.SIG_IGN),
    ],
    ids=["well", "failed", "interrupted"],
)
def test_an_interrupt_has_its_usual_effect_after_a_block_that_was_not_interrupted(
    end: StackError | signal.Signals | None, effect: object
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with suppress(StackError, typer.Exit), interruptible():
            if isinstance(end, StackError):
                raise end
            if end:
                signal.raise_signal(end)
        assert signal.getsignal(signal.SIGINT) == effect
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("original", [None, CONTACTS], ids=["unknown", "private"])
def test_a_topic_that_can_not_be_consumed_is_refused_with_those_that_can(
    stack_folder: Folder | None, topic_copies: MakeTopics, original: Topic[Any] | None
) -> None:
    if stack_folder is None:
        pytest.skip("the servers are not ours")
    (public,) = topic_copies(CAMPAIGNS)
    topic = topic_copies(original)[0].name if original else "nonsense"

    answer = souk("consume", topic, SOUK_DATA=str(stack_folder.root))

    assert (answer.returncode, answer.stdout) == (1, "")
    said, _, choice = answer.stderr.partition(": choose one of ")
    assert said == f"There is no public topic {topic}"
    assert public.name in choice.rstrip(".\n").split(", ")
    assert topic not in choice


def test_a_topic_of_a_kafka_that_does_not_answer_is_refused_in_one_sentence(tmp_path: Path) -> None:
    specs_of(tmp_path)
    with lock(Folder(tmp_path)):
        answer = souk("consume", CAMPAIGNS.name, SOUK_DATA=str(tmp_path))

    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("Kafka at 127.0.0.1:")
    assert "doesn't answer" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_where_no_topic_can_be_consumed_none_is_offered() -> None:
    assert "choose" not in str(no_topic("nonsense", []))


def test_a_token_is_refused_in_a_folder_where_nothing_was_started(tmp_path: Path) -> None:
    answer = souk("token", "--as", "staff", SOUK_DATA=str(tmp_path / "none"))

    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith(f"Nothing was started in {tmp_path / 'none'} yet: ")
    assert "SOUK_DATA" in answer.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only what is listened at is gone round")
def test_a_port_that_another_process_chose_is_gone_round_until_that_one_is_over() -> None:
    begins = "import random; from souk.local.folder import free_port; random.seed(1)"
    same = f"{begins}; print(free_port(set()), flush=True); input()"

    def chosen(by: "subprocess.Popen[str]") -> str:
        assert by.stdout is not None
        return by.stdout.readline()

    def choosing() -> "subprocess.Popen[str]":
        return subprocess.Popen([sys.executable, "-c", same], stdin=PIPE, stdout=PIPE, text=True)

    with choosing() as first:
        one = chosen(first)
        with choosing() as second:
            assert chosen(second) != one
            second.communicate("\n")
        first.communicate("\n")
    with choosing() as third:
        assert chosen(third) == one
        third.communicate("\n")


def test_a_port_taken_is_gone_round_until_it_is_free_again(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    wanted = free_port(set())
    with socket.socket() as other:
        other.bind(("127.0.0.1", wanted))
        other.listen()
        around = ports(folder, {"gateway": None}, {"gateway": wanted})["gateway"]
        again = ports(folder, {"gateway": None}, {"gateway": wanted})["gateway"]

    freed = ports(folder, {"gateway": None}, {"gateway": wanted})["gateway"]

    assert around == again != wanted
    assert freed == wanted


def test_a_gateway_elsewhere_than_at_its_usual_port_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SOUK_GATEWAY_PORT", raising=False)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        usual = other.getsockname()[1]
        monkeypatch.setattr(suite, "DEFAULT_GATEWAY_PORT", usual)
        monkeypatch.setattr(progress, "DEFAULT_GATEWAY_PORT", usual)
        specs_of(tmp_path)

    progress.show_addresses(Folder(tmp_path), servers_only=False, took=1.0)

    assert re.search(
        rf"^Port {usual} is in use, so the gateway is at http://127\.0\.0\.1:\d+; "
        r"set SOUK_GATEWAY_PORT to choose\.$",
        capsys.readouterr().out,
        re.MULTILINE,
    )


@pytest.mark.parametrize("to", ["2017-10-01", "tomorrow"])
def test_a_clock_that_cannot_be_moved_is_one_sentence(tmp_path: Path, to: str) -> None:
    answer = souk("clock", "advance", to, SOUK_DATA=str(tmp_path))

    assert answer.returncode == 1
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1


def test_a_clock_is_given_to_a_new_folder_alone(tmp_path: Path) -> None:
    specs_of(tmp_path)

    refused = souk("up", "--clock", "2017-09-18", SOUK_DATA=str(tmp_path))

    assert refused.returncode == 1
    assert refused.stderr.startswith(f"The suite in {tmp_path} goes by the system's clock: ")


def test_provision_makes_every_topic_on_the_kafka_that_the_environment_names(stack: Stack) -> None:
    answer = souk("provision", **stack.kafka.environment("admin"))

    assert answer.returncode == 0, answer.stderr
    found = AdminClient(stack.kafka.settings("admin")).list_topics(timeout=20).topics
    assert {topic.name for topic in TOPICS} <= set(found)
    again = souk("provision", **stack.kafka.environment("admin"))
    there = len(TOPICS) + len(SERVICES)
    assert again.stdout == (f"{there} topics: 0 made, the others were there; 0 rights given, 0 taken away.\n")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"SOUK_KAFKA": ""}, "SOUK_KAFKA is not set"),
        ({"SOUK_ADMIN_KAFKA_USER": ""}, "SOUK_ADMIN_KAFKA_USER is not set"),
        ({"SOUK_ADMIN_KAFKA_PASSWORD": ""}, "SOUK_ADMIN_KAFKA_PASSWORD is not set"),
        ({"SOUK_ADMIN_KAFKA_PASSWORD": "wrong"}, "Kafka refuses the login of admin"),
        ({"SOUK_KAFKA_PROTOCOL": ""}, "No Kafka can be reached"),
        ({"SOUK_KAFKA_PROTOCOL": "SASL"}, "Kafka can't be asked with these settings"),
        ({"SOUK_KAFKA": "127.0.0.1:1"}, "No Kafka can be reached"),
        ({"SOUK_KAFKA": "nowhere.invalid:9092"}, "No Kafka can be reached"),
    ],
    ids=[
        *("no address", "no user", "no password", "wrong password", "no protocol"),
        *("unknown protocol", "wrong port", "wrong host"),
    ],
)
def test_provision_says_in_one_sentence_what_is_in_the_way(
    stack: Stack, changed: dict[str, str], said: str
) -> None:
    answer = souk("provision", **{**stack.kafka.environment("admin"), **changed})

    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith(said)
    assert len(answer.stderr.splitlines()) == 1
    assert {*changed} & set(re.findall(r"SOUK_\w+", answer.stderr))


@pytest.mark.parametrize(
    ("hashtags", "said"),
    [
        ("comedy,funny", "--hashtags names 2 where a social campaign needs three"),
        ("zzzz,yyyy,xxxx", "No video of"),
    ],
)
def test_hashtags_that_can_not_be_played_are_refused_before_anything_starts(
    tmp_path: Path, hashtags: str, said: str
) -> None:
    answer = souk("demo", "--hashtags", hashtags, SOUK_DATA=str(tmp_path / "data"))

    assert answer.returncode == 1
    assert said in answer.stderr.splitlines()[-1]
    assert not (tmp_path / "data").exists()


def test_postgres_is_found_without_a_word_about_folders_that_it_does_not_use() -> None:
    program = "from souk.local import postgres; print(postgres.binary('psql'))"

    found = subprocess.run(
        [sys.executable, "-W", "always", "-c", program],
        env={name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert Path(found.stdout.strip()).is_file()
    assert found.stderr == ""


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
