# confluent_kafka exports its admin classes without naming them as exported.
# mypy: disable-error-code="attr-defined"
"""Topics and ACLs on Kafka, created or brought up to date; running it again changes nothing."""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
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


def plan(topic: Topic[Any]) -> TopicPlan:
    """What follows from a topic's contract."""
    return TopicPlan(topic.name, topic.partitions, topic.config, frozenset({topic.owner}), acl.readers(topic))


def dead_letter_plans() -> list[TopicPlan]:
    """`souk.<service>.dlq`: copies of the records that a service could not apply, for it alone."""
    return [
        TopicPlan(acl.dead_letters(service), 1, _DEAD_LETTERS, frozenset({service}), frozenset({service}))
        for service in SERVICES
    ]


def provision(settings: Mapping[str, str], plans: Sequence[TopicPlan]) -> None:
    """Make the cluster agree with `plans`.

    settings: of confluent_kafka, for a principal that may administer.
    Missing topics are created, configurations set, missing ACLs added and outdated ones removed.
    Raises StackError when the broker refuses, or a topic has another number of partitions than planned.
    """
    admin = AdminClient(dict(settings))
    try:
        _topics(admin, plans)
        _acls(admin, plans)
    except KafkaException as error:
        raise StackError(f"Kafka refused to set up its topics: {error.args[0].str()}") from error


def drop(settings: Mapping[str, str], names: Iterable[str]) -> None:
    """Delete topics; their ACLs stay and mean nothing without them."""
    admin = AdminClient(dict(settings))
    for future in admin.delete_topics(list(names), operation_timeout=_PATIENCE).values():
        future.result(_PATIENCE)


def _topics(admin: Any, plans: Sequence[TopicPlan]) -> None:
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


def _acls(admin: Any, plans: Sequence[TopicPlan]) -> None:
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
            return
        if time.monotonic() > deadline:
            raise StackError("Kafka's broker doesn't take over its new rights: see its log, and try again.")
        time.sleep(0.02)


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


def provision_all(settings: Mapping[str, str]) -> None:
    """Every topic of the contracts, and the dead-letter topics; otherwise as `provision`."""
    from souk.contracts.topics import TOPICS

    provision(settings, [*map(plan, TOPICS), *dead_letter_plans()])


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
