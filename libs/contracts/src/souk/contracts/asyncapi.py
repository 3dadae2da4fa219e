"""docs/asyncapi.yaml: every topic for machines (AsyncAPI 3.0.0, Kafka bindings 0.5.0)."""

import re
from importlib.metadata import version
from typing import Any

from souk.contracts import acl
from souk.contracts.fields import class_of, meanings_of
from souk.contracts.topic import Topic
from souk.contracts.topics import TOPICS

_BINDING = "0.5.0"
_NUMBERS = re.compile(r"-?\d+")
_HEADERS = {
    "ce_specversion": {"type": "string", "const": "1.0"},
    "ce_id": {"type": "string", "description": "unique to this record"},
    "ce_source": {"type": "string", "description": "/souk/<service>"},
    "ce_time": {"type": "string", "format": "date-time", "description": "the suite's clock"},
    "ce_subject": {"type": "string", "format": "uuid", "description": "the state's id"},
    "ce_dataschema": {"type": "string", "format": "uri", "description": "urn:souk:schema:<topic>"},
    "content-type": {"type": "string", "const": "application/json"},
    "traceparent": {"type": "string", "description": "W3C Trace Context; may be missing"},
}


def asyncapi() -> dict[str, Any]:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "souk",
            "version": version("souk-contracts"),
            "description": "Topics on which the services of souk speak and to which other systems subscribe.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{kafka}",
                "protocol": "kafka-secure",
                "variables": {"kafka": {"default": "localhost:9092", "description": "SOUK_KAFKA"}},
                "security": [{"$ref": "#/components/securitySchemes/scram"}],
            }
        },
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": {name: operation for topic in TOPICS for name, operation in _operations(topic)},
        "components": {
            "securitySchemes": {"scram": {"type": "scramSha512"}},
            "messages": {event: _message(topic, event) for topic in TOPICS for event in _events(topic)},
            "schemas": _schemas(),
        },
    }


def _channel(topic: Topic[Any]) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": topic.description,
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {event: {"$ref": f"#/components/messages/{event}"} for event in _events(topic)},
        "x-owner": topic.owner,
        "x-data-class": topic.data_class,
        "x-partition-by": topic.partition_by,
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    name: [value] if name == "cleanup.policy" else _typed(value)
                    for name, value in topic.config.items()
                },
                "bindingVersion": _BINDING,
            }
        },
    }


def _events(topic: Topic[Any]) -> tuple[str, ...]:
    """What the owner may send, and that any state may be published once more."""
    return (*topic.events, f"{topic.events[0].partition('.')[0]}.republished")


def _typed(value: str) -> str | int:
    return int(value) if _NUMBERS.fullmatch(value) else value


def _operations(topic: Topic[Any]) -> list[tuple[str, dict[str, Any]]]:
    """The owner sends; it and each reading principal receive, in consumer groups of their own."""
    channel = {"$ref": f"#/channels/{topic.name}"}
    sends = {"action": "send", "channel": channel, "x-principal": topic.owner}
    made = [(f"{topic.owner}.sends.{topic.name}", sends)]
    for reader in sorted({topic.owner, *acl.readers(topic)}):
        begins = f"{acl.SUBSCRIBER}." if reader == acl.SUBSCRIBER else acl.group(reader)
        group = {"type": "string", "pattern": f"^{re.escape(begins)}"}
        receives = {
            "action": "receive",
            "channel": channel,
            "x-principal": reader,
            "bindings": {"kafka": {"groupId": group, "bindingVersion": _BINDING}},
        }
        made.append((f"{reader}.receives.{topic.name}", receives))
    return made


def _message(topic: Topic[Any], event: str) -> dict[str, Any]:
    return {
        "name": event,
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "required": [name for name in ("ce_type", *_HEADERS) if name != "traceparent"],
            "properties": {"ce_type": {"type": "string", "const": event}, **_HEADERS},
        },
        "payload": {"$ref": f"#/components/schemas/{topic.state.__name__}"},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "format": "uuid", "description": "the state's id, as text"},
                "bindingVersion": _BINDING,
            }
        },
    }


def _schemas() -> dict[str, Any]:
    """States and their parts by name. Raises ValueError when two different parts have one name."""
    found: dict[str, Any] = {}
    for topic in TOPICS:
        schema = topic.state.model_json_schema(ref_template="#/components/schemas/{model}")
        parts = schema.pop("$defs", {})
        meanings = meanings_of(topic.state)
        for name, field in schema["properties"].items():
            field["x-data-class"] = class_of(field, topic)
            if name in meanings:
                field["description"] = meanings[name]
        for name, part in {**parts, topic.state.__name__: schema}.items():
            if "properties" in part:
                # Readers ignore fields that they don't know.
                part.pop("additionalProperties", None)
            if found.setdefault(name, part) != part:
                raise ValueError(f"two parts are called {name}")
    return found
