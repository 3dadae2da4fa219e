"""Who may write and read which topic: the whole table of the contracts, asked of the broker itself."""

import asyncio
import time
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, TopicAuthorizationFailedError
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from souk.contracts.topic import SERVICES, Topic
from souk.contracts.topics import TOPICS
from souk.contracts.topics.deliveries import DELIVERIES
from souk.local import provision
from souk.local.stack import Stack
from souk.local.testing import MakeTopics

READERS = (*SERVICES, "subscriber")
TOO_LARGE = bytes(1_200_000)


async def may_write(producer: AIOKafkaProducer, topic: str) -> bool:
    """Asked with a record that is too large for Kafka, which looks at rights first: nothing is written."""
    try:
        await asyncio.wait_for(producer.send_and_wait(topic, TOO_LARGE, key=b"rights"), 10)
    except TopicAuthorizationFailedError:
        return False
    except MessageSizeTooLargeError:
        return True
    raise AssertionError(f"{topic} took a record of {len(TOO_LARGE)} bytes")


@pytest.mark.parametrize("principal", READERS)
async def test_only_the_owner_writes_a_topic(
    stack: Stack, topics: tuple[Topic[Any], ...], principal: str
) -> None:
    expected = {topic.name for topic in topics if topic.owner == principal}

    async with AIOKafkaProducer(
        **stack.kafka.access(principal).client(), max_request_size=2 * len(TOO_LARGE)
    ) as producer:
        written = {topic.name for topic in topics if await may_write(producer, topic.name)}

    assert written == expected


@pytest.mark.parametrize("principal", READERS)
def test_only_the_owner_and_named_readers_read_a_topic(
    stack: Stack, topics: tuple[Topic[Any], ...], principal: str
) -> None:
    expected = {
        topic.name
        for topic in topics
        if principal in {topic.owner, *topic.readers}
        or (principal == "subscriber" and topic.data_class == "public")
    }

    assert readable(stack, principal, {topic.name for topic in topics}) == expected


@pytest.mark.parametrize(
    "topic", [topic for topic in TOPICS if topic.data_class == "private"], ids=lambda topic: topic.name
)
def test_a_private_topic_names_its_readers_one_by_one(
    stack: Stack, topics: tuple[Topic[Any], ...], topic: Topic[Any]
) -> None:
    readers = {principal for principal in READERS if readable(stack, principal, {topic.name})}

    assert readers == {topic.owner, *topic.readers}
    assert "subscriber" not in readers


def test_a_topic_of_before_its_owner_might_read_it_gets_that_right_by_provisioning_again(
    stack: Stack, topic_copies: MakeTopics
) -> None:
    (topic,) = topic_copies(DELIVERIES)
    admin = AdminClient(stack.kafka.settings("admin"))
    right = AclBindingFilter(
        ResourceType.TOPIC, topic.name, ResourcePatternType.LITERAL, f"User:{topic.owner}", "*",
        AclOperation.READ, AclPermissionType.ALLOW,
    )  # fmt: skip
    taken = [len(each.result(10)) for each in admin.delete_acls([right]).values()]

    provisioned = provision.provision(stack.kafka.settings("admin"), [provision.plan(topic)])

    assert taken == [1]
    assert (provisioned.given, provisioned.taken) == (1, 0)
    assert readable(stack, topic.owner, {topic.name}) == {topic.name}


@pytest.mark.parametrize(
    ("principal", "group", "allowed"),
    [
        ("billing", "souk.billing", True),
        ("billing", "souk.billing.test", True),
        ("billing", "souk.campaign", False),
        ("billing", "billing", False),
        ("subscriber", "subscriber.warehouse", True),
        ("subscriber", "souk.notify", False),
    ],
)
def test_a_principal_joins_only_groups_of_its_prefix(
    stack: Stack, topics: tuple[Topic[Any], ...], principal: str, group: str, allowed: bool
) -> None:
    offsets = ConsumerGroupTopicPartitions(group, [TopicPartition("campaign.organisations.v1", 0, 0)])

    admin = AdminClient(stack.kafka.settings(principal))
    error = admin.alter_consumer_group_offsets([offsets])[group].exception(10)

    refusal = error.args[0].code() if error else None
    assert refusal == (None if allowed else KafkaError.GROUP_AUTHORIZATION_FAILED)


def test_nobody_comes_in_without_a_password(stack: Stack) -> None:
    settings = stack.kafka.settings("billing") | {"sasl.password": "guess"}

    failures: list[KafkaError] = []
    admin = AdminClient(settings | {"error_cb": failures.append})
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=2)
    admin.poll(1)

    assert KafkaError._AUTHENTICATION in {failure.code() for failure in failures}


def group_prefix(principal: str) -> str:
    return principal if principal == "subscriber" else f"souk.{principal}"


def readable(stack: Stack, principal: str, names: set[str]) -> set[str]:
    """Which of the topics a fetch by `principal` is answered for, told by the broker for each."""
    consumer = Consumer(
        stack.kafka.settings(principal)
        | {"group.id": f"{group_prefix(principal)}.rights", "enable.auto.commit": False}
        | {"enable.partition.eof": True}
    )
    # A topic that may not even be described isn't listed.
    listed = consumer.list_topics(timeout=10).topics.keys() & names
    verdicts: dict[str, bool] = dict.fromkeys(names - listed, False)
    consumer.assign([TopicPartition(name, 0, 0) for name in listed])
    deadline = time.monotonic() + 20
    try:
        while len(verdicts) < len(names) and time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is None:
                continue
            code = message.error().code() if message.error() else None
            if code in {None, KafkaError._PARTITION_EOF}:
                verdicts[message.topic()] = True
            elif code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                verdicts[message.topic()] = False
    finally:
        consumer.close()
    assert verdicts.keys() == names
    return {name for name, allowed in verdicts.items() if allowed}
