"""Generated documents: never stale, valid by their own schema, and telling the same as the topics."""

import json
import re
from pathlib import Path

import yaml
from jsonschema import Draft7Validator

from souk.contracts import acl
from souk.contracts.asyncapi import asyncapi
from souk.contracts.documents import FOLDER, stale
from souk.contracts.fields import field_tables
from souk.contracts.topics import TOPICS

SCHEMA = json.loads((Path(__file__).parent / "asyncapi" / "schema-3.0.0.json").read_text())


def test_no_document_is_stale():
    assert stale() == [], "run python -m souk.contracts.documents"


def test_a_changed_document_is_stale(tmp_path):
    for name in ("events.md", "asyncapi.yaml"):
        (tmp_path / name).write_text((FOLDER / name).read_text())
    (tmp_path / "events.md").write_text("by hand")

    assert stale(tmp_path) == ["events.md"]


def test_asyncapi_is_valid_by_its_own_schema():
    document = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text())

    assert [error.message for error in Draft7Validator(SCHEMA).iter_errors(document)] == []


def test_the_schema_refuses_what_asyncapi_does():
    document = asyncapi()
    document["channels"]["campaign.users.v1"]["bindings"]["kafka"]["partitions"] = "twelve"

    assert not Draft7Validator(SCHEMA).is_valid(document)


def test_every_reference_of_asyncapi_leads_somewhere():
    document = asyncapi()
    references = set(re.findall(r'"#/([^"]+)"', json.dumps(document)))

    for reference in references:
        node = document
        for step in reference.split("/"):
            node = node[step]
    assert len(references) > len(TOPICS)


def test_asyncapi_names_who_sends_and_who_receives():
    operations = asyncapi()["operations"].values()
    told = {(each["x-principal"], each["action"], each["channel"]["$ref"][11:]) for each in operations}
    verbs = {"WRITE": "send", "READ": "receive"}

    granted = {
        (grant.principal, verbs[grant.operation], grant.name)
        for grant in acl.grants()
        if grant.resource == "topic" and grant.operation in verbs and not grant.name.endswith(".dlq")
    }
    assert told == granted


def test_a_samples_state_is_valid_by_asyncapis_payload():
    """What a generated client of another language would accept."""
    schemas = asyncapi()["components"]["schemas"]
    samples = Path(__file__).parents[1] / "samples"

    for topic in TOPICS:
        payload = {"components": {"schemas": schemas}, "$ref": f"#/components/schemas/{topic.state.__name__}"}
        for sample in json.loads((samples / f"{topic.name}.0.json").read_text()).values():
            Draft7Validator(payload).validate(sample)


def test_the_catalogue_has_every_topic_event_and_field():
    catalogue = (FOLDER / "events.md").read_text()

    for topic in TOPICS:
        assert f"## {topic.name}\n" in catalogue
        assert all(f"`{event}`" in catalogue for event in topic.events)
        for table in field_tables(topic):
            assert all(re.search(rf"\| \**{row.name}\** \|", catalogue) for row in table.rows)


def test_personal_and_secret_data_are_on_private_topics_alone():
    classes = {
        (topic.data_class, row.data_class)
        for topic in TOPICS
        for table in field_tables(topic)
        for row in table.rows
    }

    assert {of_topic for of_topic, of_field in classes if of_field in {"personal", "secret"}} == {"private"}
    assert {of_field for of_topic, of_field in classes if of_topic == "public"} == {"public"}
