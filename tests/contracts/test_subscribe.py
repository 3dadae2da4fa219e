"""What docs/subscribe.md shows works as it stands there: its snippets are run, not copies of them."""

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaProducer

from souk.contracts import envelope
from souk.contracts.topics.campaigns import CAMPAIGNS, Campaign
from souk.local import jars
from souk.local.kafka import java

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "subscribe.md"
SECONDS = 30
FIRST, SECOND = UUID(int=1), UUID(int=2)


def snippet(language: str) -> str:
    """The one code block of that language in the document."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return found


def campaign(campaign_id: UUID, version: int, title: str) -> Campaign:
    now = datetime(2017, 9, 14, tzinfo=UTC)
    return Campaign(
        id=campaign_id,
        version=version,
        changed_at=now,
        advertiser_id=uuid4(),
        type="url",
        lifecycle="draft",
        title=title,
        created_at=now,
    )


async def publish(stack, topic: str, *states: Campaign | bytes) -> None:
    async with AIOKafkaProducer(**stack.kafka.access("campaign").client()) as producer:
        for state in states:
            if isinstance(state, bytes):
                await producer.send_and_wait(topic, state, key=b"broken", partition=0)
                continue
            headers = envelope.headers(CAMPAIGNS, "campaign.changed", uuid4(), state.changed_at, state.id)
            await producer.send_and_wait(
                topic,
                CAMPAIGNS.dump(state),
                CAMPAIGNS.key(state),
                CAMPAIGNS.partition(state),
                headers=[*headers, ("foreign", b"\xff")],
            )


@asynccontextmanager
async def running(program: Path, environment: dict[str, str], end: signal.Signals):
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(end)
        await asyncio.wait_for(process.communicate(), SECONDS)


async def until(copy: Path, expected: dict[UUID, tuple[int, str]]) -> None:
    found = None
    try:
        async with asyncio.timeout(SECONDS):
            while found != expected:
                await asyncio.sleep(0.05)
                found = read(copy)
    except TimeoutError:
        assert found == expected


def read(copy: Path) -> dict[UUID, tuple[int, str]] | None:
    if not copy.exists():
        return None
    with sqlite3.connect(copy) as database, suppress(sqlite3.OperationalError):
        rows = database.execute("SELECT id, version, title FROM campaign").fetchall()
        return {UUID(row[0]): (row[1], row[2]) for row in rows}
    return None


@pytest.mark.parametrize(
    ("client", "end"),
    [("aiokafka", signal.SIGKILL), ("faststream", signal.SIGINT)],
    ids=["aiokafka", "faststream"],
)
async def test_a_foreign_consumer_keeps_a_copy_whatever_is_repeated_late_or_broken(
    stack, topic_copies, tmp_path, client, end
):
    (topic,) = topic_copies(CAMPAIGNS)
    program = tmp_path / "consumer.py"
    # The topic of this test has a name of its own; all else is as in the document.
    program.write_text(snippet(f"python {client}").replace("CAMPAIGNS.name", repr(topic.name)))
    environment = {
        **os.environ,
        "SOUK_KAFKA": stack.kafka.bootstrap,
        "SOUK_KAFKA_PROTOCOL": stack.kafka.protocol,
        "SOUK_SUBSCRIBER_KAFKA_PASSWORD": stack.kafka.logins["subscriber"].password,
        "CAMPAIGNS": str(tmp_path / "campaigns.db"),
    }
    await publish(stack, topic.name, campaign(FIRST, 1, "one"), campaign(FIRST, 3, "three"), b"no JSON")

    async with running(program, environment, end):
        await until(tmp_path / "campaigns.db", {FIRST: (3, "three")})
        await publish(
            stack,
            topic.name,
            campaign(FIRST, 2, "late"),
            campaign(FIRST, 3, "again"),
            campaign(SECOND, 1, "b"),
        )
        await until(tmp_path / "campaigns.db", {FIRST: (3, "three"), SECOND: (1, "b")})

    # Killed or stopped, it goes on from what it had applied.
    await publish(stack, topic.name, campaign(SECOND, 2, "c"))
    async with running(program, environment, end):
        await until(tmp_path / "campaigns.db", {FIRST: (3, "three"), SECOND: (2, "c")})


async def test_faststream_delivers_a_batch_again_that_could_not_be_saved(
    stack, topic_copies, tmp_path, capfd
):
    (topic,) = topic_copies(CAMPAIGNS)
    program = tmp_path / "consumer.py"
    program.write_text(snippet("python faststream").replace("CAMPAIGNS.name", repr(topic.name)))
    copy = tmp_path / "campaigns.db"
    environment = {
        **os.environ,
        "SOUK_KAFKA": stack.kafka.bootstrap,
        "SOUK_KAFKA_PROTOCOL": stack.kafka.protocol,
        "SOUK_SUBSCRIBER_KAFKA_PASSWORD": stack.kafka.logins["subscriber"].password,
        "CAMPAIGNS": str(copy),
    }
    with sqlite3.connect(copy) as database:
        database.execute("CREATE TABLE campaign (id TEXT PRIMARY KEY, version INTEGER, title TEXT)")
        database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON campaign BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
    await publish(stack, topic.name, campaign(FIRST, 1, "one"))

    async with running(program, environment, signal.SIGINT) as process:
        async with asyncio.timeout(SECONDS):
            while b"again in a second" not in await process.stderr.readline():
                pass
        with sqlite3.connect(copy) as database:
            database.execute("DROP TRIGGER full")
        await until(copy, {FIRST: (1, "one")})
    assert "Authorization" not in capfd.readouterr().out


@pytest.mark.parametrize("client", ["aiokafka", "faststream"])
@pytest.mark.parametrize("missing", ["SOUK_KAFKA", "SOUK_SUBSCRIBER_KAFKA_PASSWORD"])
def test_what_is_not_set_is_one_sentence(tmp_path, client, missing):
    environment = {
        **os.environ,
        "SOUK_KAFKA": "127.0.0.1:9",
        "SOUK_SUBSCRIBER_KAFKA_PASSWORD": "x",
        missing: "",
    }

    ran = subprocess.run(
        [sys.executable, "-c", snippet(f"python {client}")],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip

    assert ran.returncode == 1
    assert ran.stderr == f"{missing} is not set: see docs/subscribe.md for where it is found.\n"


def test_the_two_programs_do_not_share_a_group():
    groups = [
        re.findall(r'group_id="(.*)"', snippet(f"python {client}")) for client in ("aiokafka", "faststream")
    ]

    assert len({group for (group,) in groups}) == 2


async def test_souk_consume_shows_a_topic_from_its_beginning_each_time(stack, stack_folder, topic_copies):
    if stack_folder is None:
        pytest.skip("the servers are not ours")
    (topic,) = topic_copies(CAMPAIGNS)
    await publish(stack, topic.name, campaign(FIRST, 1, "one"))
    command, *arguments = snippet("console").split()
    arguments[arguments.index(CAMPAIGNS.name)] = topic.name

    for _ in range(2):
        ran = await asyncio.to_thread(
            subprocess.run,
            [ROOT / command, *arguments, "--max-messages", "1"],
            env={**os.environ, "SOUK_DATA": str(stack_folder.root)},
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )

        assert ran.returncode == 0, ran.stderr.decode()
        assert '"title":"one"' in ran.stdout.decode(errors="replace")


async def test_the_console_consumer_shows_a_topic(stack, topic_copies, tmp_path):
    (topic,) = topic_copies(CAMPAIGNS)
    await publish(stack, topic.name, campaign(FIRST, 1, "one"))
    properties = tmp_path / "subscriber.properties"
    properties.write_text(
        snippet("properties")
        .replace("…", stack.kafka.logins["subscriber"].password)
        .replace("SASL_PLAINTEXT", stack.kafka.protocol)
    )
    script, *arguments = snippet("console script").replace("\\\n", " ").split()
    shown = {'"$SOUK_KAFKA"': stack.kafka.bootstrap, "subscriber.properties": str(properties)}
    shown[CAMPAIGNS.name] = topic.name
    # The script of a Kafka download is a wrapper of this class.
    command = [
        str(java()),
        "-cp",
        ":".join(map(str, jars.classpath())),
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
    ]

    ran = await asyncio.to_thread(
        subprocess.run,
        [*command, *(shown.get(each, each) for each in arguments), "--max-messages", "1"],
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )

    assert script == "kafka-console-consumer.sh"
    assert ran.returncode == 0, ran.stderr.decode()
    line = ran.stdout.decode(errors="replace")
    assert "ce_type:campaign.changed" in line
    assert str(FIRST) in line
    assert '"title":"one"' in line
