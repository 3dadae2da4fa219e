"""The service as it is run: its own process, real PostgreSQL and Kafka, stopped by a signal."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from souk.chassis.clock import set_manual
from souk.contracts import envelope
from souk.contracts.state import State
from souk.contracts.topic import Topic, partition_of
from souk.contracts.topics.campaigns import CAMPAIGNS
from souk.contracts.topics.contacts import CONTACTS
from souk.contracts.topics.participations import PARTICIPATIONS
from souk.local.tokens import token

SECONDS = 60


@dataclass(frozen=True, slots=True)
class Running:
    client: httpx.AsyncClient
    command: Callable[..., Awaitable[str]]


@pytest.fixture
async def service(
    suite: Any, stack: Any, topics: Any, database: Any, tmp_path: Path
) -> AsyncIterator[Running]:
    """A migrated service, running. Ends with SIGTERM and must end well."""
    executable = str(Path(sys.executable).with_name("souk-influencer"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    set_manual(tmp_path / "service-clock", suite.units.clock.now())
    environment = {
        **os.environ,
        **stack.environment("influencer"),
        "SOUK_INFLUENCER_DATABASE": database("influencer").url,
        "SOUK_INFLUENCER_LISTEN": listen,
        "SOUK_OIDC_JWKS": str(suite.folder.jwks),
        "SOUK_CLOCK": f"manual:{tmp_path / 'service-clock'}",
    }

    async def command(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            executable, *words, env=environment, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        assert process.returncode == 0, said
        return said.decode()

    await command("migrate")
    running = await asyncio.create_subprocess_exec(executable, "all", env=environment)
    try:
        bearer = {"Authorization": f"Bearer {token(suite.folder, 'staff')}"}
        async with httpx.AsyncClient(base_url=f"http://{listen}", headers=bearer, timeout=15) as client:
            await _until(lambda: _ready(client))
            yield Running(client, command)
    finally:
        running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), SECONDS) == 0


async def _ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await condition():  # noqa: ASYNC110  another process has no event of ours
            await asyncio.sleep(0.05)


async def _post(client: httpx.AsyncClient, path: str, body: object = None) -> Any:
    answer = await client.post(path, json=body, headers={"Idempotency-Key": uuid4().hex})
    assert answer.is_success, answer.text
    return answer.json()


async def _found(
    stack: Any, reader: str, topic: Topic[Any], partition: int, holds: Callable[[Any], bool], nth: int = 1
) -> tuple[str, State]:
    """Event and state of the nth record for which `holds`, read as `reader` from the topic's start."""
    consumer = AIOKafkaConsumer(**stack.kafka.access(reader).client(), auto_offset_reset="earliest")
    async with consumer, asyncio.timeout(SECONDS):
        assigned = TopicPartition(topic.name, partition)
        consumer.assign([assigned])
        await consumer.seek_to_beginning(assigned)
        async for record in consumer:
            state = topic.parse(record.value)
            if holds(state):
                nth -= 1
                if nth == 0:
                    return envelope.read(record.headers).type, state
    raise AssertionError("unreachable")


async def test_a_campaign_is_announced_joined_and_published_again_on_demand(
    suite: Any, stack: Any, service: Running
) -> None:
    campaign, who = suite.campaign(), uuid4()
    body = {"id": str(who), "display_name": "Aki", "contact": {"email": "aki@creators.example"}}
    await _post(service.client, "/v1/influencers", body)
    async with AIOKafkaProducer(**stack.kafka.access("campaign").client()) as producer:
        headers = envelope.headers(CAMPAIGNS, "campaign.approved", uuid4(), campaign.changed_at, campaign.id)
        await producer.send_and_wait(
            CAMPAIGNS.name,
            CAMPAIGNS.dump(campaign),
            CAMPAIGNS.key(campaign),
            CAMPAIGNS.partition(campaign),
            headers=headers,
        )

    async def known() -> bool:
        return (await service.client.get(f"/v1/selections/{campaign.id}")).status_code == 200

    await _until(known)
    join = {"campaign_id": str(campaign.id), "influencer_id": str(who)}
    joined = await _post(service.client, "/v1/participations", join)

    of_campaign, number = partition_of(campaign.id), UUID(joined["id"])
    event, state = await _found(stack, "tracking", PARTICIPATIONS, of_campaign, lambda one: one.id == number)
    assert (event, state.state) == ("participation.joined", "joined")
    _, contact = await _found(stack, "notify", CONTACTS, partition_of(who), lambda one: one.id == who)
    assert contact.email == "aki@creators.example"

    async def announced() -> bool:
        pulse = (await service.client.get("/internal/pulse")).json()
        found = (await service.client.get("/v1/eligibility", params=join)).json()["decisions"]
        return pulse["due"] == 0 and "announced" in {one["effect"] for one in found}

    await _until(announced)
    await service.command("republish")
    again, same = await _found(
        stack, "tracking", PARTICIPATIONS, of_campaign, lambda one: one.id == number, nth=2
    )
    assert (again, same) == ("participation.republished", state)
