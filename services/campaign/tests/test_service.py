"""The service as it is run: its own process, real PostgreSQL and Kafka, stopped by a signal."""

import asyncio
import os
import signal
import socket
import sys
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from souk.chassis.clock import set_manual
from souk.chassis.settings import KafkaAccess
from souk.contracts import envelope
from souk.contracts.topic import partition_of
from souk.contracts.topics.budgets import BUDGETS, Budget
from souk.contracts.topics.campaigns import CAMPAIGNS
from souk.contracts.topics.terms import TERMS
from souk.local.tokens import token

SECONDS = 20


@pytest.fixture
async def service(stack, topics, database, served_at, tmp_path: Path):
    """A migrated service, running; its URL. Ends with SIGTERM and must end well."""
    command = str(Path(sys.executable).with_name("souk-campaign"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    set_manual(tmp_path / "clock", datetime.fromisoformat("2017-09-14T00:00:00Z"))
    _, folder = served_at
    environment = {
        **os.environ,
        **stack.environment("campaign"),
        "SOUK_CAMPAIGN_DATABASE": database("campaign").url,
        "SOUK_CAMPAIGN_LISTEN": listen,
        "SOUK_OIDC_JWKS": str(folder.jwks),
        "SOUK_CLOCK": f"manual:{tmp_path / 'clock'}",
    }
    migration = await asyncio.create_subprocess_exec(command, "migrate", env=environment)
    assert await asyncio.wait_for(migration.wait(), SECONDS) == 0
    running = await asyncio.create_subprocess_exec(command, "all", env=environment)
    try:
        bearer = {"Authorization": f"Bearer {token(folder, 'staff')}"}
        async with httpx.AsyncClient(base_url=f"http://{listen}", headers=bearer) as client:
            await until(lambda: ready(client))
            yield client
    finally:
        running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), SECONDS) == 0


async def ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def until(condition) -> None:
    async with asyncio.timeout(SECONDS):
        while not await condition():  # noqa: ASYNC110  another process has no event of ours
            await asyncio.sleep(0.05)


async def post(client: httpx.AsyncClient, path: str, body: object = None) -> dict:
    answer = await client.post(path, json=body, headers={"Idempotency-Key": uuid4().hex})
    assert answer.is_success, answer.text
    return answer.json()


async def newest(access: KafkaAccess, topic, campaign_id: UUID, version: int):
    """The state of that version, read from the topic's start."""
    consumer = AIOKafkaConsumer(**access.client(), auto_offset_reset="earliest")
    async with consumer, asyncio.timeout(SECONDS):
        partition = TopicPartition(topic.name, partition_of(campaign_id))
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        async for record in consumer:
            state = topic.parse(record.value)
            if state.id == campaign_id and state.version == version:
                return envelope.read(record.headers), state
    raise AssertionError("unreachable")


async def judge(access: KafkaAccess, campaign_id: UUID, *judgements: tuple[int, int, str]) -> None:
    """Have billing say (version, budget version, status) of the campaign's budget, in this order."""
    async with AIOKafkaProducer(**access.client()) as producer:
        for version, budget_version, status in judgements:
            state = Budget(
                id=campaign_id,
                version=version,
                changed_at=datetime.fromisoformat("2017-09-20T12:00:00Z"),
                campaign_id=campaign_id,
                currency="USD",
                budget=100,
                budget_version=budget_version,
                consumed=100,
                status=status,
            )
            event = "budget.exhausted" if status == "exhausted" else "budget.reopened"
            headers = envelope.headers(BUDGETS, event, uuid4(), state.changed_at, state.id)
            await producer.send_and_wait(
                BUDGETS.name,
                BUDGETS.dump(state),
                BUDGETS.key(state),
                BUDGETS.partition(state),
                headers=headers,
            )


async def test_an_approved_campaign_reaches_kafka_and_billings_judgement_its_status(service, stack, complete):
    advertiser = await post(
        service, "/v1/organisations", {"kind": "advertiser", "name": "A", "country": "US"}
    )
    drafted = await post(service, "/v1/campaigns", {**complete, "advertiser_id": advertiser["id"]})
    campaign_id = UUID(drafted["id"])
    path = f"/v1/campaigns/{campaign_id}"
    await post(service, f"{path}/approve")

    read, state = await newest(stack.kafka.access("tracking"), CAMPAIGNS, campaign_id, 2)
    _, terms = await newest(stack.kafka.access("billing"), TERMS, campaign_id, 1)
    assert (read.type, state.lifecycle, state.budget_version) == ("campaign.approved", "approved", 1)
    assert terms.margin == 3_300

    async def status() -> str:
        return (await service.get(f"{path}/status")).json()["status"]

    async def is_over_budget() -> bool:
        return await status() == "over_budget"

    # A judgement of a campaign that isn't known here stops nothing; in whatever order, the newest counts.
    await judge(stack.kafka.access("billing"), uuid4(), (1, 1, "exhausted"))
    await judge(
        stack.kafka.access("billing"), campaign_id, (2, 1, "open"), (3, 1, "exhausted"), (1, 1, "open")
    )
    await until(is_over_budget)

    raised = await service.patch(path, json={"budget": "1000001"}, headers={"If-Match": "*"})
    assert raised.json()["status"] == "upcoming"
