"""Records that can't be applied: parked, shown, tried again, superseded, dropped; the service runs on."""

import asyncio
import time
from typing import Any
from uuid import UUID, uuid4

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from running import Suite, brief

from souk.contracts.acl import dead_letters
from souk.contracts.topic import partition_of
from souk.contracts.topics.campaigns import CAMPAIGNS

Json = dict[str, Any]
PATIENCE = 30.0


def write(suite: Suite, subject: UUID, value: bytes, about: UUID) -> None:
    """A record of `subject` where the records about the campaign `about` are, written by their owner."""
    failures: list[Any] = []
    producer = Producer(suite.stack.kafka.settings("campaign"))
    producer.produce(
        CAMPAIGNS.name,
        value,
        str(subject).encode(),
        partition=partition_of(about),
        on_delivery=lambda error, _: failures.append(error) if error else None,
    )
    assert producer.flush(20) == 0
    assert failures == []


async def parked(suite: Suite, service: str) -> list[Json]:
    return await suite.command(service, "deadletter", "list")


async def pulse(suite: Suite, service: str) -> Json:
    response = await suite.client.get(f"{suite.address(service)}/internal/pulse")
    found: Json = response.raise_for_status().json()
    return found


async def test_a_record_that_is_not_json_is_parked_and_the_service_runs_on(suite: Suite) -> None:
    staff = suite.api("staff")
    advertiser = await suite.organisation("advertiser")
    campaign = await staff.post("/v1/campaigns", brief("url", advertiser_id=str(advertiser)))
    this, stranger = UUID(campaign["id"]), uuid4()
    await suite.settle()

    write(suite, this, b"{not json", about=this)
    write(suite, stranger, b'{"id": 7}', about=this)
    await suite.settle()

    for reader in sorted(CAMPAIGNS.readers):
        assert (await pulse(suite, reader))["parked"] == 2, reader
    bad, worse = await parked(suite, "billing")
    assert (bad["topic"], bad["key"], bad["attempts"]) == (CAMPAIGNS.name, str(this), 1)
    assert (worse["topic"], worse["key"]) == (CAMPAIGNS.name, str(stranger))
    (shown,) = await suite.command("billing", "deadletter", "show", str(bad["id"]))
    assert shown["value"] == "{not json"
    assert shown["parked"]["error"]

    (retried,) = await suite.command("billing", "deadletter", "retry")
    assert (retried["applied"], retried["failed"]) == (0, 2)
    (shown,) = await suite.command("billing", "deadletter", "show", str(bad["id"]))
    assert shown["parked"]["attempts"] == 2

    await staff.post(f"/v1/campaigns/{this}/approve")
    await suite.settle()
    assert (await staff.get(f"/v1/budgets/{this}"))["budget"] == "1000.000000"
    assert [record["key"] for record in await parked(suite, "billing")] == [str(stranger)]

    (dropped,) = await suite.command("billing", "deadletter", "drop", str(worse["id"]))
    assert dropped == {"dropped": 1}
    assert (await pulse(suite, "billing"))["parked"] == 0


async def test_a_parked_record_is_copied_to_the_services_dead_letter_topic(suite: Suite) -> None:
    stranger = uuid4()

    write(suite, stranger, b"null", about=stranger)
    await suite.settle()

    assert str(stranger) in keys(suite, "billing", dead_letters("billing"))


async def test_metrics_count_what_is_parked_until_it_is_dropped(suite: Suite) -> None:
    write(suite, stranger := uuid4(), b"null", about=stranger)
    await suite.settle()
    records = await parked(suite, "notify")

    await until_metrics_say(suite, "notify", len(records))
    await suite.command("notify", "deadletter", "drop", *(str(record["id"]) for record in records))
    await until_metrics_say(suite, "notify", 0)


async def until_metrics_say(suite: Suite, service: str, records: int) -> None:
    expected = f'souk_parked_records{{topic="{CAMPAIGNS.name}"}} {float(records)}'
    deadline = time.monotonic() + PATIENCE
    while expected not in (await suite.client.get(f"{suite.address(service)}/metrics")).text.splitlines():
        assert time.monotonic() < deadline, expected
        await asyncio.sleep(0.1)


def keys(suite: Suite, principal: str, topic: str) -> set[str]:
    """The keys of a topic's partition 0, as far as it goes now, read as `principal`."""
    consumer = Consumer(
        suite.stack.kafka.settings(principal)
        | {
            "group.id": f"souk.{principal}.journeys",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    found: set[str] = set()
    deadline = time.monotonic() + PATIENCE
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        while time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is not None and message.error() is not None:
                assert message.error().code() == KafkaError._PARTITION_EOF
                return found
            if message is not None:
                found.add(message.key().decode())
    finally:
        consumer.close()
    raise AssertionError(f"{topic} has no end")
