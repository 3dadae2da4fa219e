"""What a topic's log tells of itself."""

from uuid import uuid4

import pytest

from souk.checker.topics import Log, Told, topic_reader
from souk.contracts.topics.organisations import ORGANISATIONS

from .conftest import ACME, organisation


@pytest.fixture
def topic(topic_copies):
    return topic_copies(ORGANISATIONS)[0]


@pytest.fixture
async def reader(kafka):
    async with topic_reader(kafka) as opened:
        yield opened


async def test_a_topic_with_repeated_and_newer_states_is_sound(topic, reader, produce):
    first, second = organisation(), organisation(version=2, name="Acme & Co")
    others = [organisation(uuid4()) for _ in range(1_200)]

    await produce(topic, first, *others, first, second, second)
    log = Log(topic, Told())
    await reader.read(log)

    assert (log.records, log.unreadable(), log.told.forks(topic.name), log.stale()) == (1_204, [], [], [])
    assert log.newest([ACME, uuid4()])[ACME].version == 2
    assert [one.key for one in log.in_order()] == sorted({ACME, *(other.id for other in others)})


async def test_one_version_with_two_contents_is_a_fork(topic, reader, produce):
    await produce(topic, organisation(), organisation(version=2), organisation(name="Other"))
    log = Log(topic, Told())
    await reader.read(log)

    (fork,) = log.told.forks(topic.name)
    assert (fork.check, fork.subject) == ("fork", f"{topic.name} {ACME}")
    assert fork.detail.startswith("version 1 differs at ")


async def test_what_a_lost_topic_told_with_another_content_is_a_fork_all_the_same(topic):
    told = Told()
    for name in ("Acme", "Other", "Acme"):
        state = organisation(name=name)
        Log(topic, told).take([_Record(topic.partition(state), 0, topic.key(state), topic.dump(state))])

    assert [fork.subject for fork in told.forks(topic.name)] == [f"{topic.name} {ACME}"]
    assert Told().forks(topic.name) == told.forks("another") == []


async def test_fields_of_a_newer_minor_version_make_no_fork(topic, reader, produce):
    state = organisation()
    newer = state.model_dump_json()[:-1].encode() + b', "colour": "red"}'

    await produce(topic, state)
    log = Log(topic, Told())
    log.take([_Record(topic.partition(state), 7, topic.key(state), newer)])
    await reader.read(log)

    assert (log.told.forks(topic.name), log.unreadable()) == ([], [])


async def test_an_older_state_after_a_newer_one_is_stale_until_the_newer_one_comes_again(
    topic, reader, produce
):
    await produce(topic, organisation(version=2), organisation())
    log = Log(topic, Told())
    await reader.read(log)

    assert [one.check for one in log.stale()] == ["stale_last"]

    await produce(topic, organisation(version=2))
    await reader.read(log)

    assert log.stale() == []
    assert log.records == 3


async def test_what_is_no_state_or_lies_elsewhere_is_unreadable(topic, reader, produce):
    state = organisation()
    elsewhere = _Record((topic.partition(state) + 1) % 12, 0, topic.key(state), topic.dump(state))

    await produce(topic, (b"x", b"{"), (str(uuid4()).encode(), topic.dump(state)))
    log = Log(topic, Told())
    log.take([elsewhere])
    await reader.read(log)

    assert sorted(one.detail for one in log.unreadable()) == [
        f"it belongs in partition {topic.partition(state)}",
        "its key is another state's",
        "no state of this topic",
    ]


async def test_an_empty_topic_is_read_at_once(topic, reader):
    log = Log(topic, Told())
    await reader.read(log)

    assert (log.records, list(log.in_order())) == (0, [])


class _Record:
    def __init__(self, partition, offset, key, value):
        self.partition, self.offset, self.key, self.value = partition, offset, key, value
