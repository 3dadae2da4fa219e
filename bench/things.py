"""A topic and a read copy without any rules, for what the chassis itself costs: states of 400 bytes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

from place import Place
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text, Uuid
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from souk.chassis.clock import SystemClock
from souk.chassis.database import open_engine
from souk.chassis.intake import Intake
from souk.chassis.store import upsert_newer
from souk.chassis.work import Units, Work
from souk.contracts.state import State
from souk.contracts.topic import Topic
from souk.local import provision

BYTES = 400


class Thing(State):
    group: UUID
    name: str


THINGS: Topic[Thing] = Topic(
    name="campaign.things.v1",
    owner="campaign",
    state=Thing,
    events=("thing.made",),
    readers=frozenset({"billing"}),
    data_class="public",
    partition_by="group",
    description="of these measurements",
)
COPY = Table(
    "copy",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("version", Integer),
    Column("changed_at", DateTime(timezone=True)),
    Column("group", Uuid),
    Column("name", Text),
)
_NAMES = tuple(column.name for column in COPY.c)


def thing() -> Thing:
    """One whose JSON is 400 bytes long, nearly (the instant's microseconds may be none)."""
    bare = Thing(id=uuid4(), version=1, changed_at=datetime.now(UTC), group=uuid4(), name="")
    return bare.model_copy(update={"name": "x" * (BYTES - len(THINGS.dump(bare)))})


def row_of(state: Thing) -> dict[str, object]:
    return {name: getattr(state, name) for name in _NAMES}


def intake() -> Intake:
    """Reads things into the copy."""
    reading = Intake("billing")

    @reading.reads(THINGS, copy=COPY)
    async def things_changed(work: Work, states: Sequence[Thing]) -> None:
        await upsert_newer(work, COPY, [row_of(state) for state in states])

    return reading


def units(url: str, service: str) -> Units:
    return Units(open_engine(url, "bench"), SystemClock(), service, [THINGS])


async def settle(place: Place) -> None:
    """Make the topic and the databases of its writer (campaign) and its reader (billing)."""
    copy = str(CreateTable(COPY).compile(dialect=postgresql.dialect()))
    for service in ("campaign", "billing"):
        await place.make_tables(service, copy)
    plans = [provision.plan(THINGS), *provision.dead_letter_plans()]
    provision.provision(place.stack.kafka.settings("admin"), plans)
