"""Ids, envelope, reasons, permissions and partitioning: what every reader relies on."""

from datetime import UTC, date, datetime
from typing import get_args
from uuid import UUID, uuid4
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.contracts import envelope, ids
from souk.contracts.permissions import DEFAULTS, Area, Level, Role
from souk.contracts.reasons import PROBLEMS, Locale, Reason
from souk.contracts.state import State
from souk.contracts.topic import PARTITIONS, SERVICES, partition_of
from souk.contracts.topics import TOPICS, topic_named, topic_of
from souk.contracts.topics.campaigns import CAMPAIGNS, Campaign

NOW = datetime(2017, 9, 14, 12, tzinfo=UTC)


def campaign(**fields) -> Campaign:
    complete = {
        "id": uuid4(),
        "version": 1,
        "changed_at": NOW,
        "advertiser_id": uuid4(),
        "type": "url",
        "lifecycle": "draft",
        "title": "x",
        "created_at": NOW,
    }
    return Campaign(**{**complete, **fields})


@given(st.uuids(), st.uuids())
def test_a_derived_id_is_the_same_for_whoever_derives_it(campaign_id, influencer_id):
    participation = ids.participation_id(campaign_id, influencer_id)

    assert participation == ids.participation_id(campaign_id, influencer_id)
    assert participation.version == 5
    if campaign_id != influencer_id:
        assert participation != ids.participation_id(influencer_id, campaign_id)


def test_derived_ids_never_change():
    """They are in databases: another namespace or another text would make strangers of known things."""
    one, two = UUID(int=1), UUID(int=2)

    assert str(ids.participation_id(one, two)) == "daf825ab-7d68-59f0-a47f-4d230a54fe3d"
    assert str(ids.link_id(one)) == "d389794c-f82e-5bee-9cbb-02397b115e80"
    assert str(ids.post_id(one, "youtube", "abc")) == "2442b0bf-6cec-5a6a-9375-c9bc5b8e9753"
    assert str(ids.conversion_id(one, "1001")) == "cfa89cf9-8b02-52ff-901d-cf83f9f0b32d"
    assert str(ids.payment_id(date(2017, 11, 5), one, "USD")) == "dbf743b0-da3a-5490-b136-8599ad03bd02"
    assert str(ids.announcement_id("started", "2017-09-20", 1)) == "d0f0d5a7-2402-5de8-8f44-f9dcf8cc87ff"


def test_ids_of_different_things_never_meet():
    one = UUID(int=1)
    made = [
        ids.participation_id(one, one),
        ids.link_id(one),
        ids.post_id(one, "youtube", str(one)),
        ids.conversion_id(one, str(one)),
        ids.payment_id(date(2017, 11, 5), one, "USD"),
        ids.announcement_id("upcoming", str(one), 1),
    ]

    assert len(set(made)) == len(made)


def test_an_envelope_is_read_as_it_was_written():
    event_id, subject = uuid4(), uuid4()

    headers = envelope.headers(CAMPAIGNS, "campaign.approved", event_id, NOW, subject)

    read = envelope.read(headers)
    assert (read.id, read.type, read.subject) == (str(event_id), "campaign.approved", str(subject))
    assert (read.source, datetime.fromisoformat(read.time)) == ("/souk/campaign", NOW)
    assert dict(headers)["ce_dataschema"] == b"urn:souk:schema:campaign.campaigns.v1"
    assert dict(headers)["content-type"] == b"application/json"


def test_an_event_that_a_topic_does_not_list_is_not_written():
    with pytest.raises(ValueError, match="does not carry"):
        envelope.headers(CAMPAIGNS, "post.found", uuid4(), NOW, uuid4())


@pytest.mark.parametrize("missing", ["ce_id", "ce_source", "ce_type", "ce_time", "ce_subject"])
def test_a_record_without_an_attribute_is_no_cloud_event(missing):
    headers = envelope.headers(CAMPAIGNS, "campaign.approved", uuid4(), NOW, uuid4())

    with pytest.raises(ValueError, match=missing):
        envelope.read([(name, value) for name, value in headers if name != missing])


def test_foreign_headers_are_no_matter_but_a_broken_attribute_is():
    headers = envelope.headers(CAMPAIGNS, "campaign.approved", uuid4(), NOW, uuid4())

    assert envelope.read([*headers, ("x", None), ("y", b"\xff")]) == envelope.read(headers)
    with pytest.raises(ValueError, match="utf-8"):
        envelope.read([*headers, ("ce_type", b"\xff")])


@given(st.uuids())
def test_everything_of_a_campaign_is_in_one_partition_number(campaign_id):
    assert partition_of(campaign_id) == crc32(campaign_id.bytes) % 12
    assert 0 <= partition_of(campaign_id) < PARTITIONS
    assert CAMPAIGNS.partition(campaign(id=campaign_id)) == partition_of(campaign_id)


def test_every_campaign_scoped_topic_is_partitioned_by_the_campaign():
    for topic in TOPICS:
        fields = topic.state.model_fields
        assert topic.partitions == PARTITIONS
        assert topic.partition_by in fields
        if "campaign_id" in fields:
            assert topic.partition_by == "campaign_id"
        for name in ("id", topic.partition_by):
            assert fields[name].annotation is UUID


def test_partitions_of_random_ids_are_even():
    counts = [0] * PARTITIONS
    for number in range(12_000):
        counts[partition_of(ids.link_id(UUID(int=number)))] += 1

    assert min(counts) > 850
    assert max(counts) < 1_150


def test_names_say_owner_aggregate_and_major_version():
    for topic in TOPICS:
        owner, *rest = topic.name.split(".")
        assert owner == topic.owner
        assert rest[-1] == "v1"
        assert ("private" in rest) == (topic.data_class == "private")
        aggregate = topic.events[0].partition(".")[0]
        assert all(event.startswith(f"{aggregate}.") for event in topic.events)
        assert topic.readers <= set(SERVICES)
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)
    events = [event for topic in TOPICS for event in topic.events]
    assert len(set(events)) == len(events)


def test_a_topic_is_found_by_name_and_by_state():
    for topic in TOPICS:
        assert topic_named(topic.name) is topic
        assert topic_of(topic.state) is topic
    with pytest.raises(KeyError):
        topic_of(State)


def test_a_producer_is_strict_and_a_consumer_is_not():
    state = campaign()
    newer = CAMPAIGNS.dump(state).replace(b"{", b'{"unheard_of": 1, ', 1)

    assert CAMPAIGNS.parse(newer) == state
    with pytest.raises(ValueError, match="extra"):
        campaign(unheard_of=1)


@pytest.mark.parametrize("field", [{"version": 0}, {"changed_at": datetime(2017, 9, 14)}])  # noqa: DTZ001
def test_a_state_has_a_version_and_an_instant(field):
    with pytest.raises(ValueError):
        campaign(**field)


def test_every_reason_has_one_problem_with_a_message_in_every_locale():
    assert PROBLEMS.keys() == set(Reason)
    for problem in PROBLEMS.values():
        assert 400 <= problem.status < 600
        assert all(problem.message(locale).strip() for locale in get_args(Locale))


def test_messages_are_written_in_their_own_script():
    def within(text: str, low: str, high: str) -> bool:
        return any(low <= letter <= high for letter in text)

    for problem in PROBLEMS.values():
        assert problem.title.isascii()
        assert within(problem.ja, "\u3040", "\u9fff")
        assert within(problem.th, "\u0e00", "\u0e7f")


def test_the_matrix_has_a_level_for_every_role_and_area():
    assert DEFAULTS.keys() == set(get_args(Role))
    assert all(areas.keys() == set(get_args(Area)) for areas in DEFAULTS.values())
    assert Level.NONE < Level.VIEW < Level.MANAGE < Level.MANAGE_AND_DELETE
