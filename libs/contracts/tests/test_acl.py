"""Who may write and read what: nobody writes another's topic, only its owner reads a private one unnamed."""

from souk.contracts.acl import SUBSCRIBER, Grant, grants
from souk.contracts.topic import SERVICES
from souk.contracts.topics import TOPICS


def who(name: str, operation: str) -> set[str]:
    return {
        grant.principal
        for grant in grants()
        if (grant.resource, grant.name, grant.operation) == ("topic", name, operation)
    }


def test_a_topic_is_written_by_its_owner_alone():
    for topic in TOPICS:
        assert who(topic.name, "WRITE") == {topic.owner}


def test_other_systems_read_public_topics_alone_and_write_none():
    for topic in TOPICS:
        assert (SUBSCRIBER in who(topic.name, "READ")) == (topic.data_class == "public")
        assert who(topic.name, "READ") - {SUBSCRIBER} == topic.readers | {topic.owner}
    assert not [grant for grant in grants() if grant.principal == SUBSCRIBER and "WRITE" in grant.operation]


def test_margins_contacts_and_bank_details_have_one_reader_each_beside_their_owner():
    readers = {topic.name: who(topic.name, "READ") for topic in TOPICS if topic.data_class == "private"}

    assert readers == {
        "campaign.terms.private.v1": {"campaign", "billing"},
        "influencer.contacts.private.v1": {"influencer", "notify"},
        "influencer.payees.private.v1": {"influencer", "billing"},
    }


def test_a_service_has_groups_and_dead_letters_of_its_own():
    for service in SERVICES:
        assert who(f"souk.{service}.dlq", "WRITE") == who(f"souk.{service}.dlq", "READ") == {service}
        assert Grant(service, "group", f"souk.{service}", "READ", prefixed=True) in grants()
        assert Grant(service, "cluster", "kafka-cluster", "IDEMPOTENT_WRITE") in grants()


def test_nothing_is_granted_twice_and_no_name_is_another_services_prefix():
    assert len(set(grants())) == len(grants())
    groups = [grant.name for grant in grants() if grant.resource == "group"]
    assert not [(a, b) for a in groups for b in groups if a != b and b.startswith(a)]
