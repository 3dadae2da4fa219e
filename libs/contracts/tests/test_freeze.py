"""Frozen shapes: the live ones suit them all, and every kind of break is caught."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import pytest
from pydantic import Field

from souk.contracts.compatibility import differences
from souk.contracts.freeze import SAMPLES, Folders, faults, freeze, rollout
from souk.contracts.samples import samples_of
from souk.contracts.schema import frozen_shapes, shape_of
from souk.contracts.state import Part, State
from souk.contracts.topic import Topic
from souk.contracts.topics import TOPICS


class Box(Part):
    width: int = 0


class Thing(State):
    owner_id: UUID
    kind: Literal["small", "large"] = "small"
    count: Annotated[int, Field(ge=0)] = 0
    note: str | None = None
    boxes: tuple[Box, ...] = ()


def topic(state: type[State] = Thing, **changes) -> Topic:
    made = Topic(
        name="thing.things.v1",
        owner="campaign",
        state=state,
        events=("thing.made", "thing.changed"),
        readers=frozenset({"billing", "notify"}),
        data_class="public",
        partition_by="id",
        description="of this test",
    )
    return replace(made, **changes)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Where the first shape of `Thing` is frozen."""
    made = Folders(tmp_path / "schemas", tmp_path / "samples")
    freeze([topic()], made)
    return made


def test_every_topic_is_frozen_and_suits_all_that_was_frozen():
    assert faults(TOPICS, Folders()) == []


@pytest.mark.parametrize("each", TOPICS, ids=lambda each: each.name)
def test_every_frozen_sample_is_read_by_the_live_model(each):
    for minor in range(len(frozen_shapes(each))):
        samples = json.loads((SAMPLES / f"{each.name}.{minor}.json").read_text())

        assert {"minimal", "full-1"} <= samples.keys()
        for sample in samples.values():
            state = each.parse(json.dumps(sample).encode())
            assert each.parse(each.dump(state)) == state


@pytest.mark.parametrize("each", TOPICS, ids=lambda each: each.name)
def test_samples_are_the_same_at_every_run_and_full_ones_have_every_field(each):
    shape = shape_of(each)

    assert samples_of(shape) == samples_of(json.loads(json.dumps(shape)))
    assert samples_of(shape)["full-1"].keys() == each.state.model_fields.keys()
    assert samples_of(shape)["minimal"].keys() == set(shape["required"])


def test_amounts_of_samples_agree_with_each_other():
    by_name = {each.name: samples_of(shape_of(each))["full-1"] for each in TOPICS}

    earning = by_name["billing.earnings.v1"]
    assert earning["worth"] == earning["revenue"] + earning["capped"] + earning["refused"]
    payment = by_name["billing.payments.v1"]
    expected = payment["gross"] - payment["withholding"] + payment["consumption_tax"] - payment["fee"]
    assert payment["net"] == expected
    assert by_name["billing.budgets.v1"]["consumed"] <= by_name["billing.budgets.v1"]["budget"]


def test_what_has_not_changed_is_not_frozen_again(folders):
    assert freeze([topic()], folders) == []
    assert faults([topic()], folders) == []
    assert rollout([topic()], folders) == []


class Grown(Thing):
    """A field with a default is new, here and in a part."""

    colour: str = "red"


def test_a_new_field_with_a_default_is_a_new_minor_in_any_order(folders):
    stale = faults([topic(Grown)], folders)

    made = freeze([topic(Grown)], folders)

    assert stale == [
        "thing.things.v1 differs from its newest frozen shape: run python -m souk.contracts.freeze"
    ]
    assert made == ["thing.things.v1.1.json"]
    assert faults([topic(Grown)], folders) == []
    assert rollout([topic(Grown)], folders) == ["thing.things.v1: in any order"]


class Larger(Thing):
    kind: Literal["small", "large", "huge"] = "small"


def test_a_new_value_of_an_enumeration_puts_readers_first(folders):
    made = freeze([topic(Larger)], folders)

    assert made == ["thing.things.v1.1.json"]
    assert faults([topic(Larger)], folders) == []
    assert rollout([topic(Larger)], folders) == [
        "thing.things.v1: readers first (billing, notify), then campaign: /kind 'huge' is new"
    ]


def test_a_new_event_puts_readers_first(folders):
    found = differences(
        frozen_shapes(topic(), folders.schemas)[0], shape_of(topic(events=(*topic().events, "thing.gone")))
    )

    assert [each.effect for each in found] == ["readers first"]


class WithoutCount(State):
    owner_id: UUID
    kind: Literal["small", "large"] = "small"
    note: str | None = None
    boxes: tuple[Box, ...] = ()


class NewRequired(Thing):
    colour: str


class NowRequired(Thing):
    note: str | None


class NoLongerRequired(Thing):
    owner_id: UUID = UUID(int=0)


class Retyped(Thing):
    owner_id: int  # type: ignore[assignment]


class Reformatted(Thing):
    owner_id: str  # type: ignore[assignment]


class Narrowed(Thing):
    count: Annotated[int, Field(ge=1)] = 1


class Capped(Thing):
    count: Annotated[int, Field(ge=0, le=100)] = 0


class Loosened(Thing):
    count: int = 0


class NoNull(Thing):
    note: str = ""  # type: ignore[assignment]


class NewNull(Thing):
    count: Annotated[int, Field(ge=0)] | None = 0  # type: ignore[assignment]


class Smaller(Thing):
    kind: Literal["small"] = "small"  # type: ignore[assignment]


class Freed(Thing):
    kind: str = "small"  # type: ignore[assignment]


class Redefaulted(Thing):
    kind: Literal["small", "large"] = "large"


class Bin(Part):
    width: str = "0"


class Unboxed(Thing):
    boxes: tuple[Bin, ...] = ()  # type: ignore[assignment]


class Single(Thing):
    boxes: Box = Box()  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("broken", "at"),
    [
        (WithoutCount, "/count: the field is gone"),
        (NewRequired, "/colour: a new field needs a default"),
        (NowRequired, "/note: is required now"),
        (NoLongerRequired, "/owner_id: is required no more"),
        (Retyped, "/owner_id: was string, is integer"),
        (Reformatted, "/owner_id: format was uuid"),
        (Narrowed, "/count: minimum was 0, is 1: old records may not fit"),
        (Capped, "/count: maximum was None, is 100: old records may not fit"),
        (Loosened, "/count: minimum was 0, is None: old readers may refuse"),
        (NoNull, "/note: may be null no more"),
        (NewNull, "/count: may be null now"),
        (Smaller, "/kind: 'large' is gone"),
        (Freed, "/kind: was enumeration, is string"),
        (Redefaulted, "/kind: has another default"),
        (Unboxed, "/boxes/items/width: was integer, is string"),
        (Single, "/boxes: was array, is object"),
    ],
)
def test_each_kind_of_break_is_caught_and_not_frozen(folders, broken, at):
    with pytest.raises(ValueError) as refused:
        freeze([topic(broken)], folders)

    assert f"thing.things.v1 {at}" in str(refused.value)
    assert any(at in fault for fault in faults([topic(broken)], folders))
    assert len(frozen_shapes(topic(), folders.schemas)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"partitions": 6},
        {"partition_by": "owner_id"},
        {"data_class": "internal"},
        {"events": ("thing.made",)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_partitioning_class_and_events_are_part_of_the_contract(folders, changes):
    with pytest.raises(ValueError, match=f"x-topic/{next(iter(changes))}"):
        freeze([topic(**changes)], folders)


def test_a_break_against_an_older_minor_is_caught_too(folders):
    """Transitive: a field that came and went is gone for those who know it, whatever was frozen since."""
    freeze([topic(Grown)], folders)

    found = faults([topic()], folders)

    assert "thing.things.v1 /colour: the field is gone (since .1)" in found


def test_an_old_sample_that_is_no_longer_read_is_a_fault(folders):
    path = folders.samples / "thing.things.v1.0.json"
    path.write_text(path.read_text().replace('"small"', '"tiny"'))

    found = faults([topic()], folders)

    assert any("sample minimal" in fault or "sample full-1 is not read any more" in fault for fault in found)


@pytest.mark.parametrize("kind", ["schemas", "samples"])
def test_a_frozen_file_that_was_changed_is_seen(folders, kind):
    path = getattr(folders, kind) / "thing.things.v1.0.json"
    path.write_text(path.read_text() + "\n")

    assert f"{kind}/thing.things.v1.0.json was frozen and is not as it was" in faults([topic()], folders)


def test_a_live_record_is_read_as_an_old_tolerant_reader_reads_it(folders, monkeypatch):
    monkeypatch.setattr(Topic, "dump", lambda self, state: b'{"id": 5}')

    found = faults([topic()], folders)

    assert any("a reader of thing.things.v1.0 can't read live sample" in fault for fault in found)
