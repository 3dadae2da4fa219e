# confluent_kafka exports its admin classes without naming them as exported.
# mypy: disable-error-code="attr-defined"
"""Topics and ACLs on Kafka, created or brought up to date; running it again changes nothing."""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from souk.contracts import acl
from souk.contracts.acl import Grant, Resource
from souk.contracts.topic import SERVICES, Topic
from souk.local.errors import StackError
from souk.local.folder import Folder
from souk.local.stack import of_folder

_PATIENCE = 30.0
_ANSWER_SECONDS = 8.0
_BROKER_DEFAULT = -1
_RESOURCES: Mapping[Resource, Any] = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "cluster": ResourceType.BROKER,
}
_DEAD_LETTERS = {
    "cleanup.policy": "delete",
    "retention.ms": str(30 * 86_400_000),
    "segment.ms": str(86_400_000),
}


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """One topic, who writes it and who reads it."""

    name: str
    partitions: int
    config: Mapping[str, str]
    writers: frozenset[str]
    readers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Provisioned:
    """How many topics there are, how many were made now, how many rights were given and taken away."""

    topics: int
    made: int
    given: int
    taken: int


def plan(topic: Topic[Any]) -> TopicPlan:
    """What follows from a topic's contract."""
    return TopicPlan(topic.name, topic.partitions, topic.config, frozenset({topic.owner}), acl.readers(topic))


def dead_letter_plans() -> list[TopicPlan]:
    """`souk.<service>.dlq`: copies of the records that a service could not apply, for it alone."""
    return [
        TopicPlan(acl.dead_letters(service), 1, _DEAD_LETTERS, frozenset({service}), frozenset({service}))
        for service in SERVICES
    ]


def expect_brokers(settings: Mapping[str, str]) -> None:
    """Returns when brokers answer. Raises StackError, after at most 8 s, that says what is in the way.

    settings: as for `provision`, from the environment, whose variables are named.
    """
    said: dict[int, str] = {}
    try:
        admin = _admin(settings, error_cb=lambda error: said.setdefault(error.code(), error.str()))
    except KafkaException as error:
        raise StackError(
            f"Kafka can't be asked with these settings ({error.args[0].str()}): "
            "check SOUK_KAFKA_PROTOCOL, SOUK_KAFKA_MECHANISM and SOUK_KAFKA_CA."
        ) from error
    try:
        admin.list_topics(timeout=_ANSWER_SECONDS)
    except KafkaException as error:
        admin.poll(0)
        if KafkaError._AUTHENTICATION in said:
            raise StackError(
                f"Kafka refuses the login of {settings['sasl.username']}: check SOUK_ADMIN_KAFKA_USER, "
                "SOUK_ADMIN_KAFKA_PASSWORD and SOUK_KAFKA_MECHANISM."
            ) from error
        why = next(iter(said.values()), error.args[0].str())
        raise StackError(
            f"No Kafka can be reached at {settings['bootstrap.servers']} with "
            f"{settings['security.protocol']} ({why}): check SOUK_KAFKA and SOUK_KAFKA_PROTOCOL."
        ) from error


def _admin(settings: Mapping[str, str], **more: Any) -> Any:
    """The client's own log lines are left out: what matters in them is in the errors."""
    return AdminClient({**settings, "log_level": 0, **more})


def visible(settings: Mapping[str, str]) -> list[str]:
    """The topics that the principal of `settings` may see, by name.

    Raises StackError when Kafka doesn't answer within 8 s.
    """
    try:
        return sorted(_admin(settings).list_topics(timeout=_ANSWER_SECONDS).topics)
    except KafkaException as error:
        raise StackError(
            f"Kafka at {settings['bootstrap.servers']} doesn't answer ({error.args[0].str()}): "
            "wait until `souk status` shows it ready, and try again."
        ) from error


def provision(settings: Mapping[str, str], plans: Sequence[TopicPlan]) -> Provisioned:
    """Make the cluster agree with `plans`.

    settings: of confluent_kafka, for a principal that may administer.
    Missing topics are created, configurations set, missing ACLs added and outdated ones removed.
    Raises StackError when the broker refuses, or a topic has another number of partitions than planned.
    """
    admin = _admin(settings)
    try:
        return Provisioned(len(plans), _topics(admin, plans), *_acls(admin, plans))
    except KafkaException as error:
        raise StackError(f"Kafka refused to set up its topics: {error.args[0].str()}") from error


def drop(settings: Mapping[str, str], names: Iterable[str]) -> None:
    """Delete topics; their ACLs stay and mean nothing without them."""
    admin = _admin(settings)
    for future in admin.delete_topics(list(names), operation_timeout=_PATIENCE).values():
        future.result(_PATIENCE)


def _topics(admin: Any, plans: Sequence[TopicPlan]) -> int:
    found = admin.list_topics(timeout=_PATIENCE).topics
    created = [
        NewTopic(each.name, each.partitions, _BROKER_DEFAULT, config=dict(each.config))
        for each in plans
        if each.name not in found
    ]
    if created:
        for future in admin.create_topics(created, operation_timeout=_PATIENCE).values():
            future.result(_PATIENCE)
    changes = []
    for each in plans:
        if each.name not in found:
            continue
        has = len(found[each.name].partitions)
        if has != each.partitions:
            raise StackError(
                f"Topic {each.name} has {has} partitions instead of {each.partitions}, "
                "and keys must stay in theirs: start with an empty data folder."
            )
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in each.config.items()
        ]
        if entries:
            changes.append(ConfigResource(ConfigResource.Type.TOPIC, each.name, incremental_configs=entries))
    if changes:
        for future in admin.incremental_alter_configs(changes).values():
            future.result(_PATIENCE)
    return len(created)


def _acls(admin: Any, plans: Sequence[TopicPlan]) -> tuple[int, int]:
    wanted = _wanted(plans)
    unset: Any = None
    everything = AclBindingFilter(
        ResourceType.ANY,
        unset,
        ResourcePatternType.ANY,
        unset,
        unset,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    found = set(admin.describe_acls(everything).result(_PATIENCE))
    planned = {each.name for each in plans}
    outdated = [
        binding
        for binding in found - wanted
        if binding.restype == ResourceType.TOPIC and binding.name in planned
    ]
    missing = list(wanted - found)
    if missing:
        for future in admin.create_acls(missing).values():
            future.result(_PATIENCE)
    if outdated:
        for future in admin.delete_acls([_exactly(binding) for binding in outdated]).values():
            future.result(_PATIENCE)
    # The controller has them; a broker that is still opening new partitions enforces them a second later.
    deadline = time.monotonic() + _PATIENCE
    while missing or outdated:
        found = set(admin.describe_acls(everything).result(_PATIENCE))
        if wanted <= found and not found.intersection(outdated):
            break
        if time.monotonic() > deadline:
            raise StackError("Kafka's broker doesn't take over its new rights: see its log, and try again.")
        time.sleep(0.02)
    return len(missing), len(outdated)


def _wanted(plans: Sequence[TopicPlan]) -> set[Any]:
    on_topics = (grant for each in plans for grant in acl.on_topic(each.name, each.writers, each.readers))
    return {_binding(grant) for grant in (*on_topics, *acl.on_groups())}


def _binding(grant: Grant) -> Any:
    return AclBinding(
        _RESOURCES[grant.resource],
        grant.name,
        ResourcePatternType.PREFIXED if grant.prefixed else ResourcePatternType.LITERAL,
        f"User:{grant.principal}",
        "*",
        AclOperation[grant.operation],
        AclPermissionType.ALLOW,
    )


def _exactly(binding: Any) -> Any:
    return AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )


def provision_all(settings: Mapping[str, str]) -> Provisioned:
    """Every topic of the contracts, and the dead-letter topics; otherwise as `provision`."""
    from souk.contracts.topics import TOPICS

    return provision(settings, [*map(plan, TOPICS), *dead_letter_plans()])


def main(root: str) -> int:
    """On the embedded stack of the data folder at `root`."""
    try:
        provision_all(of_folder(Folder(Path(root))).kafka.settings("admin"))
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
