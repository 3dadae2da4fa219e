"""Starting, killing and stopping real servers: nothing is lost and nothing is left over."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from souk.contracts.topics.campaigns import CAMPAIGNS
from souk.local import control
from souk.local.errors import StackError
from souk.local.folder import Folder, free_port, open_folder
from souk.local.process import Spec
from souk.local.stack import Stack
from souk.local.supervisor import Supervisor
from souk.local.testing import MakeDatabase, MakeTopics

SOUK = str(Path(sys.executable).parent / "souk")
_INTERRUPTED = """
import signal, sys
from souk.local.main import app

end_of = sys.argv.pop(1)

def watch(frame, event, _):
    if event == "return" and frame.f_code.co_qualname == end_of:
        sys.setprofile(None)
        signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.setprofile(watch)
app()
"""
"""`souk`, interrupted as a function returns."""


@pytest.fixture
def empty_folder() -> Iterator[Folder]:
    with tempfile.TemporaryDirectory(prefix="souk-lifecycle-") as root:
        folder = Folder(Path(root) / "data")
        yield folder
        control.stop(folder)


def souk(folder: Folder, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [SOUK, *arguments],
        env={**os.environ, "SOUK_DATA": str(folder.root), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def processes_of(folder: Folder) -> list[psutil.Process]:
    """Whatever works in the folder or was told of it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and (
                process.cwd().startswith(str(folder.root)) or str(folder.root) in " ".join(process.cmdline())
            ):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            continue
    return found


def eventually(condition: Callable[[], bool], within: float = 20) -> bool:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def pid_of(folder: Folder, name: str) -> int | None:
    """The process id, once it is ready."""
    state = {each["name"]: each for each in control.status(folder)}[name]
    return state["pid"] if state["state"] == "ready" else None


def back(folder: Folder, name: str, before: int | None) -> Callable[[], bool]:
    return lambda: pid_of(folder, name) not in {None, before}


@pytest.mark.long
def test_kafka_killed_comes_back_with_its_records(
    stack: Stack, stack_folder: Folder | None, topic_copies: MakeTopics
) -> None:
    if stack_folder is None:
        pytest.skip("the servers are not ours to kill")
    (topic,) = topic_copies(CAMPAIGNS)
    producer = Producer(stack.kafka.settings("campaign") | {"enable.idempotence": True})
    errors: list[object] = []
    producer.produce(
        topic.name, b"kept", b"key", partition=0, on_delivery=lambda error, _: errors.append(error)
    )
    producer.flush(20)
    assert errors == [None]
    before = pid_of(stack_folder, "kafka")

    control.kill(stack_folder, "kafka", signal.SIGKILL)

    assert eventually(back(stack_folder, "kafka", before))
    consumer = Consumer(stack.kafka.settings("billing") | {"group.id": "souk.billing.kept"})
    consumer.assign([TopicPartition(topic.name, 0, 0)])
    record = consumer.poll(20)
    consumer.close()
    assert record is not None
    assert record.value() == b"kept"


@pytest.mark.long
async def test_postgres_killed_comes_back_with_its_rows(
    stack_folder: Folder | None, database: MakeDatabase
) -> None:
    if stack_folder is None:
        pytest.skip("the servers are not ours to kill")
    url = database("billing").url
    connection = await asyncpg.connect(url, timeout=10)
    await connection.execute("CREATE TABLE kept (id int)")
    await connection.execute("INSERT INTO kept VALUES (7)")
    before = pid_of(stack_folder, "postgres")

    control.kill(stack_folder, "postgres", signal.SIGKILL)

    assert eventually(back(stack_folder, "postgres", before))
    connection.terminate()
    again = await asyncpg.connect(url, timeout=10)
    assert await again.fetchval("SELECT id FROM kept") == 7
    await again.close()


@pytest.mark.long
def test_valkey_killed_comes_back_with_its_password(stack: Stack, stack_folder: Folder | None) -> None:
    if stack_folder is None:
        pytest.skip("the servers are not ours to kill")
    before = pid_of(stack_folder, "valkey")

    control.kill(stack_folder, "valkey", signal.SIGKILL)

    assert eventually(back(stack_folder, "valkey", before))
    assert redis.Redis.from_url(stack.redis, socket_timeout=5).ping()
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(re.sub("//.*@", "//", stack.redis), socket_timeout=5).ping()


def test_a_held_process_stays_down_until_restarted(stack_folder: Folder | None) -> None:
    if stack_folder is None:
        pytest.skip("the servers are not ours to kill")

    control.kill(stack_folder, "valkey", signal.SIGKILL, hold=True)

    def state() -> str:
        return str({each["name"]: each for each in control.status(stack_folder)}["valkey"]["state"])

    assert eventually(lambda: state() == "held")
    last = stack_folder.log("supervisor").read_text().splitlines()[-1]
    assert re.search(r" valkey ended by SIGKILL after \d+\.\d s, held$", last)
    control.restart(stack_folder, "valkey")
    assert state() == "ready"


def test_a_restart_is_told_with_how_the_process_ended(stack_folder: Folder | None) -> None:
    if stack_folder is None:
        pytest.skip("the servers are not ours to kill")
    before = pid_of(stack_folder, "valkey")

    control.kill(stack_folder, "valkey", signal.SIGKILL)

    assert eventually(back(stack_folder, "valkey", before))
    restarts = {each["name"]: each for each in control.status(stack_folder)}["valkey"]["restarts"]
    last = stack_folder.log("supervisor").read_text().splitlines()[-1]
    assert re.search(rf" valkey ended by SIGKILL after \d+\.\d s, before restart {restarts}$", last)


@pytest.mark.parametrize(("end", "told"), [("exit 3", "with exit code 3"), ("kill -40 $$", "by signal 40")])
async def test_each_restart_is_told_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, end: str, told: str
) -> None:
    caplog.set_level("INFO", "souk.local")
    folder = Folder(tmp_path / "data")
    open_folder(folder)

    async def ready() -> bool:
        return (tmp_path / "ready").exists()

    # Ready the first time; then it ends before it is.
    program = f"test -e {tmp_path}/again && exit 4; touch {tmp_path}/again {tmp_path}/ready; sleep 0.3"
    program += f"; rm {tmp_path}/ready; {end}"
    supervisor = Supervisor(folder, [Spec("brief", ("sh", "-c", program), ready)])
    await supervisor.start()
    try:
        await supervisor.until(
            lambda: supervisor.children["brief"].restarts == 2 or supervisor.failure is not None
        )
    finally:
        await supervisor.stop()

    first, second, *_ = [each.message for each in caplog.records if each.name.startswith("souk.local")]
    assert re.fullmatch(rf"brief ended {told} after \d\.\d s, before restart 1", first)
    assert re.fullmatch(
        r"brief ended with exit code 4 after \d\.\d s without getting ready, before restart 2", second
    )


@pytest.fixture
def frozen_supervisor(empty_folder: Folder) -> Iterator[int]:
    """The process id of a supervisor in `empty_folder` that listens and does nothing more."""
    with control.Supervised(empty_folder) as supervised:
        supervised.launch(servers_only=True, lifeline=True)
        assert supervised.process is not None
        supervised.process.send_signal(signal.SIGSTOP)
        yield supervised.process.pid
        supervised.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("ask", [control.status, control.stop], ids=["status", "stop"])
def test_a_supervisor_that_does_not_answer_is_told_in_one_sentence(
    empty_folder: Folder,
    frozen_supervisor: int,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[Folder], object],
) -> None:
    monkeypatch.setattr(control, "_ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(control, "_STOP_ANSWER_SECONDS", 0.2)

    with pytest.raises(StackError, match=f"supervisor of {empty_folder.root} doesn't (answer|stop): see "):
        ask(empty_folder)


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (StackError("No video."), ["No video.", "The supervisor of"]),
        (KeyboardInterrupt(), ["The supervisor of"]),
    ],
    ids=["failed", "interrupted"],
)
def test_what_a_start_failed_for_is_told_before_what_does_not_stop(
    empty_folder: Folder, monkeypatch: pytest.MonkeyPatch, failure: BaseException, told: list[str]
) -> None:
    suite = control.Supervised(empty_folder)
    monkeypatch.setattr(control, "_ANSWER_SECONDS", 0.5)

    def fail() -> None:
        with suite:
            suite.launch(servers_only=True, lifeline=True)
            assert suite.process is not None
            suite.process.send_signal(signal.SIGSTOP)
            raise failure

    with pytest.raises(StackError) as caught:
        fail()

    assert suite.process is not None
    suite.process.send_signal(signal.SIGCONT)
    assert suite.process.wait(30) == 0
    lines = [str(caught.value), *getattr(caught.value, "__notes__", [])]
    assert [line.startswith(start) for line, start in zip(lines, told, strict=True)] == [True] * len(told)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing tells that a connection waits")
@pytest.mark.parametrize("ask", [control.status, control.stop], ids=["status", "stop"])
def test_a_supervisor_that_ends_while_it_is_asked_is_no_surprise(
    empty_folder: Folder, frozen_supervisor: int, ask: Callable[[Folder], object]
) -> None:
    def asked() -> bool:
        return Path("/proc/net/unix").read_text().count(str(empty_folder.socket)) > 1

    with ThreadPoolExecutor() as beside:
        answer = beside.submit(ask, empty_folder)
        assert eventually(asked)
        os.kill(frozen_supervisor, signal.SIGKILL)
        if ask is control.stop:
            assert answer.result() is True
        else:
            with pytest.raises(StackError, match=r"^The supervisor stopped: see "):
                answer.result()


def test_a_second_start_in_the_same_folder_is_refused(stack_folder: Folder | None) -> None:
    if stack_folder is None:
        pytest.skip("the servers are not ours to start")

    second = souk(stack_folder, "up", "--servers-only")

    assert second.returncode == 1
    assert "already running" in second.stderr
    assert "souk down" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1


def test_a_port_in_use_is_named_with_what_to_do(empty_folder: Folder) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        refused = souk(empty_folder, "up", "--servers-only", SOUK_KAFKA_PORT=str(port))

    assert refused.returncode == 1
    assert refused.stderr.strip() == (
        f"Port {port} is in use: stop the program that uses it, or set SOUK_KAFKA_PORT to another."
    )
    assert processes_of(empty_folder) == []


def test_a_full_disk_is_named_with_what_to_do(tmp_path: Path) -> None:
    small, alone = tmp_path / "small", ["unshare", "--map-root-user", "--mount"]
    small.mkdir()
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    script = f"mount -t tmpfs -o size=50m tmpfs {small} && exec {SOUK} up --servers-only"

    refused = subprocess.run(
        [*alone, "sh", "-c", script],
        env={**os.environ, "SOUK_DATA": str(small / "data")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert refused.returncode == 1
    assert re.fullmatch(
        r"Only \d+ MB are free at .*: free some space or set SOUK_DATA to a folder on another disk\.",
        refused.stderr.strip(),
    )


def test_a_download_that_fails_is_named_with_what_to_do(empty_folder: Folder, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port(set())}"

    refused = souk(
        empty_folder, "up", "--servers-only",
        HOME=str(tmp_path / "home"), SOUK_CACHE=str(tmp_path / "cache"),
        HTTPS_PROXY=nobody, https_proxy=nobody,
    )  # fmt: skip

    assert refused.returncode == 1
    assert re.fullmatch(
        r"\S+\.jar of Apache Kafka could not be had from Maven Central \(ProxyError\): "
        r"check the network or proxy and try again\.",
        refused.stderr.strip(),
    )
    assert processes_of(empty_folder) == []


def test_a_folder_of_another_version_is_left_alone(empty_folder: Folder) -> None:
    empty_folder.root.mkdir()
    (empty_folder.root / "format.json").write_text('{"layout": 0}')

    refused = souk(empty_folder, "up", "--servers-only")

    assert refused.returncode == 1
    assert "made by another version" in refused.stderr
    assert [path.name for path in empty_folder.root.iterdir() if path.is_file()] == ["format.json"]


@pytest.mark.parametrize("command", ["up --servers-only", "demo"])
@pytest.mark.parametrize("gaps", [[], [0.001], [0.2, 0.2]], ids=["once", "twice at once", "again and again"])
def test_ctrl_c_while_starting_leaves_no_process(
    empty_folder: Folder, command: str, gaps: list[float]
) -> None:
    starting = subprocess.Popen(
        [SOUK, *command.split()],
        env={**os.environ, "SOUK_DATA": str(empty_folder.root)},
        # A shell's background job ignores Ctrl-C and so do its children, pytest among them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert eventually((empty_folder.pids / "postgres.json").exists)

    starting.send_signal(signal.SIGINT)
    for gap in gaps:
        time.sleep(gap)
        starting.send_signal(signal.SIGINT)
    _, said = starting.communicate(timeout=30)

    assert processes_of(empty_folder) == []
    assert starting.returncode == 130
    assert said.endswith("Stopping.\nStopped.\n")
    assert said.count("Stopped.") == 1


@pytest.mark.parametrize("command", ["up --servers-only", "demo --keep"])
@pytest.mark.parametrize("end_of", ["Popen._execute_child", "Supervised.launch"])
def test_ctrl_c_at_a_bad_moment_leaves_no_process(empty_folder: Folder, command: str, end_of: str) -> None:
    interrupted = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, end_of, *command.split()],
        env={**os.environ, "SOUK_DATA": str(empty_folder.root)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert processes_of(empty_folder) == []
    assert interrupted.returncode == 130, interrupted.stderr
    assert interrupted.stderr.endswith("Stopped.\n")
    assert empty_folder.log("supervisor").exists()


@pytest.mark.long
def test_a_killed_supervisor_takes_everything_with_it_and_the_next_start_works(empty_folder: Folder) -> None:
    with control.Supervised(empty_folder) as first:
        first.launch(servers_only=True, lifeline=True)
        control.wait_ready(empty_folder)
        assert len(processes_of(empty_folder)) >= 4
        assert first.process is not None
        first.process.kill()

    assert eventually(lambda: processes_of(empty_folder) == [])
    with control.Supervised(empty_folder) as second:
        second.launch(servers_only=True, lifeline=True)
        control.wait_ready(empty_folder)
        assert second.process is not None
        assert second.process.stdin is not None
        second.process.stdin.close()
        assert second.process.wait(30) == 0
    assert processes_of(empty_folder) == []


def test_secrets_are_readable_by_their_owner_alone_and_stay(
    stack_folder: Folder | None, stack: Stack
) -> None:
    if stack_folder is None:
        pytest.skip("the secrets are not ours")
    # os.walk passes over what vanishes meanwhile, as Kafka's folders of dropped topics do.
    private = [
        Path(folder) / name
        for folder, _, names in os.walk(stack_folder.root)
        for name in names
        if name.endswith((".json", ".properties", ".conf"))
    ]

    readable_by_others = [
        path.name
        for path in private
        if path.stat().st_mode & 0o077 and b"password" in path.read_bytes().lower()
    ]

    assert readable_by_others == []
    assert (stack_folder.root / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_topics_provisioned_twice_stay_as_they_are(stack: Stack, topic_copies: MakeTopics) -> None:
    from souk.local import provision

    (topic,) = topic_copies(CAMPAIGNS)
    admin = AdminClient(stack.kafka.settings("admin"))
    before = admin.list_topics(topic.name, timeout=10).topics[topic.name].partitions.keys()

    provision.provision(stack.kafka.settings("admin"), [provision.plan(topic)])

    assert admin.list_topics(topic.name, timeout=10).topics[topic.name].partitions.keys() == before
