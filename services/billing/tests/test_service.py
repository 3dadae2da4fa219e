"""The whole service as it is run: migrated, started, told over Kafka, asked over HTTP, stopped."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from uuid import UUID, uuid4

import httpx
from confluent_kafka import Producer

from souk.contracts.envelope import headers
from souk.contracts.topics import topic_of
from souk.contracts.topics.campaigns import Rates
from souk.local.folder import Folder
from souk.local.tokens import AUDIENCE, ISSUER, token


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def command(environment, *arguments):
    executable = Path(sys.executable).with_name("souk-billing")
    return await asyncio.create_subprocess_exec(executable, *arguments, env=environment)


@asynccontextmanager
async def running(environment):
    """`souk-billing all` until the end of the block, then a SIGTERM that it heeds."""
    process = await command(environment, "all")
    try:
        async with httpx.AsyncClient(base_url=f"http://{environment['SOUK_BILLING_LISTEN']}") as http:
            await until(lambda: ready(http, process), 60)
            yield http
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            code = await process.wait()
    assert code == 0


async def ready(http, process):
    assert process.returncode is None
    try:
        return (await http.get("/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def until(condition, seconds):
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  another process, asked over HTTP
            await asyncio.sleep(0.05)


def send(producer, states):
    for state in states:
        topic = topic_of(type(state))
        event = topic.events[0]
        producer.produce(
            topic.name,
            topic.dump(state),
            topic.key(state),
            topic.partition(state),
            headers=headers(topic, event, uuid4(), state.changed_at, state.id),
        )
    assert producer.flush(20) == 0


async def test_facts_in_every_order_of_arrival_over_kafka_give_the_same_earnings(
    stack, topics, make_database, states, tmp_path
):
    folder = Folder(tmp_path)
    bearer = {"Authorization": f"Bearer {token(folder, 'staff')}"}
    environment = os.environ | stack.environment("billing") | {
        "SOUK_BILLING_DATABASE": make_database("billing").url,
        "SOUK_BILLING_LISTEN": f"127.0.0.1:{free_port()}",
        "SOUK_OIDC_JWKS": str(folder.jwks),
        "SOUK_OIDC_ISSUER": ISSUER,
        "SOUK_OIDC_AUDIENCE": AUDIENCE,
    }  # fmt: skip
    assert await (await command(environment, "migrate")).wait() == 0
    producer = Producer(stack.kafka.settings("admin"))
    rates = Rates(posting=5, view=1, click=3, conversion=11, commission=1_000, follower=2)
    names = []

    async with running(environment) as http:

        async def get(path):
            return (await http.get(path, headers=bearer)).json()

        async def applied():
            return (await get("/internal/pulse"))["lag"] == 0

        for order in list(permutations(range(6)))[::60]:
            name = f"campaign {uuid4()}"
            names.append(name)
            told = [
                states.campaign(name, rates=rates, cap=400, ends_at=datetime(2100, 1, 1, tzinfo=UTC)),
                states.terms(name, margin=3_300),
                states.participation("ann", name, followers_base=13),
                states.post("post", "ann", name, views=70),
                states.link("ann", name, billable=4),
                states.conversion("order", "ann", name, net=[1_000, 55], refunded=[500]),
            ]
            for index in order:
                send(producer, [told[index]])
        await until(applied, 60)
        before = {name: await get(f"/v1/earnings/{states.part('ann', name)}") for name in names}

    async with running(environment) as http:
        await until(applied, 60)
        after = {name: await get(f"/v1/earnings/{states.part('ann', name)}") for name in names}
        summary = await get("/v1/postings/summary")

    assert after == before
    for name in names:
        assert (before[name]["worth"], before[name]["revenue"]) == ("0.000180", "0.000180")
        assert UUID(before[name]["campaign_id"]) == states.name(name)
    assert summary["sum"] == {"USD": "0.000000"}
