"""docs/events.md: every topic for people, with a picture of who speaks to whom."""

from collections.abc import Iterator
from typing import Any

from souk.contracts import acl
from souk.contracts.fields import FieldTable, field_tables
from souk.contracts.topic import SERVICES, Topic
from souk.contracts.topics import TOPICS

_DAY_MS = 86_400_000

_HEAD = """\
# Events

*Generated from the topic files in `libs/contracts` by `python -m souk.contracts.documents`.*

Every record is a CloudEvent 1.0 in binary mode: attributes are headers (`ce_type`, `ce_id`, `ce_time`
…), the value is JSON. The value is one aggregate's full state at a `version`: keep the highest version
of each `id` and drop the rest, and neither duplicates nor order nor replay can hurt. `ce_type` says what
happened. A state that is published once more, because a topic was lost or somebody asked for it, has the
type `<aggregate>.republished`.

Amounts are integers in micros (10⁻⁶ of the currency's major unit), commissions and margins basis points,
instants UTC. Fields in bold are always there; the others have a default. How another system reads all
this: [subscribe.md](subscribe.md). For machines: [asyncapi.yaml](asyncapi.yaml).
"""

_CLASSES = """\
A *public* topic may be read by any system (principal `subscriber`); an *internal* or *private* one by
its owner and the named services alone. Personal, bank and margin data are on private topics only.
"""


def catalogue() -> str:
    """The whole document."""
    return "\n".join(
        [_HEAD, *_picture(), _CLASSES, *_overview(), *(line for t in TOPICS for line in _section(t))]
    )


def _picture() -> Iterator[str]:
    yield "```mermaid"
    yield "flowchart LR"
    for service in SERVICES:
        yield f"  {service}([{service}])"
    yield f"  {acl.SUBSCRIBER}([any other system])"
    for topic in TOPICS:
        yield f"  {_node(topic)}[{topic.name}]:::{topic.data_class}"
        yield f"  {topic.owner} --> {_node(topic)}"
        if others := sorted(acl.readers(topic) - {topic.owner}):
            yield f"  {_node(topic)} -.-> {' & '.join(others)}"
    yield "  classDef public fill:#e6f4ea,stroke:#34a853,color:#111"
    yield "  classDef internal fill:#fef7e0,stroke:#f9ab00,color:#111"
    yield "  classDef private fill:#fce8e6,stroke:#ea4335,color:#111"
    yield "```\n"


def _node(topic: Topic[Any]) -> str:
    return topic.name.replace(".", "_")


def _overview() -> Iterator[str]:
    yield "| topic | state of | owner | read by | class | kept |"
    yield "|---|---|---|---|---|---|"
    for topic in TOPICS:
        anchor = topic.name.replace(".", "")
        yield (
            f"| [{topic.name}](#{anchor}) | {topic.description.removesuffix('.')} | {topic.owner} "
            f"| {_readers(topic)} | {topic.data_class} | {kept(topic)} |"
        )
    yield ""


def _section(topic: Topic[Any]) -> Iterator[str]:
    yield f"## {topic.name}\n"
    yield f"{topic.description}\n"
    yield f"- **Owner** {topic.owner}, which alone writes it · **read by** {_readers(topic)}"
    yield f"- **Class** {topic.data_class}"
    yield "- **Key** the state's `id`, as text"
    yield f"- **Partition** CRC-32 of the 16 bytes of `{topic.partition_by}`, modulo {topic.partitions}"
    yield f"- **Kept** {kept(topic)}"
    yield f"- **Events** {', '.join(f'`{event}`' for event in topic.events)}\n"
    for table in field_tables(topic):
        yield from _table(table)


def _table(table: FieldTable) -> Iterator[str]:
    yield f"| {table.name} | type | class | meaning |"
    yield "|---|---|---|---|"
    for row in table.rows:
        name = f"**{row.name}**" if row.required else row.name
        yield f"| {name} | {row.type} | {row.data_class} | {row.meaning} |"
    yield ""


def kept(topic: Topic[Any]) -> str:
    """How long records are kept, in words."""
    config = topic.config
    if config["cleanup.policy"] == "delete":
        return f"{int(config['retention.ms']) // _DAY_MS} days"
    shortest = int(config["min.compaction.lag.ms"]) // _DAY_MS
    longest = (int(config["max.compaction.lag.ms"]) + int(config["segment.ms"])) // _DAY_MS
    return f"the newest of each key for ever, older ones {shortest} to {longest} days"


def _readers(topic: Topic[Any]) -> str:
    named = sorted(topic.readers)
    anyone = ["any other system"] if topic.data_class == "public" else []
    return ", ".join([*named, *anyone]) or "nobody yet"
