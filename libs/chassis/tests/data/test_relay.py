"""The outbox reaches Kafka whole and in order, whatever happens to the relay."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from souk.chassis import relay as relay_module
from souk.chassis.envelope import TRACEPARENT
from souk.chassis.work import LARGEST_PAYLOAD

from .conftest import START, House, Thing, eventually, running, thing


async def _outbox_is_empty(house: House) -> bool:
    return (await house.query("SELECT count(*) FROM outbox", house.campaign)) == [(0,)]


async def test_a_record_carries_its_state_in_a_cloudevents_envelope(house: House) -> None:
    state = thing(name="a", partition=7)

    await house.publish(state)
    async with running(house.relay().run()):
        await eventually(lambda: _outbox_is_empty(house))
    (record,) = await house.on_log(house.things)

    headers = dict(record.headers)
    assert (record.partition, record.key) == (7, str(state.id).encode())
    assert house.things.parse(record.value) == state
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_type"] == b"thing.made"
    assert headers["ce_source"] == b"/souk/campaign"
    assert headers["ce_subject"] == str(state.id).encode()
    assert headers["ce_time"] == START.isoformat(timespec="microseconds").replace("+00:00", "Z").encode()
    assert headers["ce_dataschema"] == house.things.schema_id.encode()
    assert headers["content-type"] == b"application/json"
    assert len(headers["ce_id"]) == 36
    assert TRACEPARENT not in headers


async def test_what_is_rolled_back_is_never_sent(house: House) -> None:
    try:
        async with house.campaign.begin() as work:
            work.publish("thing.made", thing(name="undone"))
            raise LookupError
    except LookupError:
        pass
    async with house.campaign.begin() as work:
        try:
            async with work.savepoint():
                work.publish("thing.made", thing(name="undone in part"))
                raise LookupError
        except LookupError:
            pass
        work.publish("thing.made", thing(name="kept"))

    async with running(house.relay().run()):
        await eventually(lambda: _outbox_is_empty(house))

    assert [house.things.parse(each.value).name for each in await house.on_log(house.things)] == ["kept"]


_INSERT = text(
    "INSERT INTO outbox (shard, topic, partition, key, headers, payload) "
    "VALUES (1, :topic, 3, :key, '', :value)"
)


def _row(house: House, state: Thing) -> dict[str, object]:
    return {"topic": house.things.name, "key": house.things.key(state), "value": house.things.dump(state)}


async def test_a_unit_that_commits_late_is_not_lost(house: House) -> None:
    late = thing(name="late")

    async with running(house.relay().run()):
        async with house.campaign.begin() as work:
            await work.execute(_INSERT, _row(house, late))
            await house.publish(*(thing(name=f"early {n}") for n in range(50)))
            await eventually(lambda: _outbox_is_empty(house))
        await eventually(lambda: _outbox_is_empty(house))

    names = [house.things.parse(each.value).name for each in await house.on_log(house.things)]
    assert names == [*(f"early {n}" for n in range(50)), "late"]


async def test_the_next_state_of_what_commits_late_does_not_go_before_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its id lies behind what was read, and it would not be looked for again before the next rescan."""
    monkeypatch.setattr(relay_module, "RESCAN_SECONDS", 5.0)
    late, relay = thing(name="late", partition=3), house.relay()
    newer = late.model_copy(update={"version": 2, "name": "newer"})

    async with running(relay.run()):
        async with house.campaign.begin() as work:
            await work.execute(_INSERT, _row(house, late))
            for _ in range(3):
                # While a unit is open that may bring a row behind it, nothing that was sent is decided.
                await house.publish(thing(name="early", partition=3))
                await eventually(lambda: _outbox_is_empty(house))
        await house.publish(newer)
        await eventually(lambda: _outbox_is_empty(house))

    names = [house.things.parse(each.value).name for each in await house.on_log(house.things)]
    assert names == ["early", "early", "early", "late", "newer"]
    assert relay.sent == 5


def test_however_many_batches_wait_each_is_decided_by_its_own_number_or_a_later_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "_MOST_OPEN", 3)
    decided = relay_module._Decided()
    for last, by in ((10, 101), (20, 102), (30, 103), (40, 104), (50, 105)):
        decided.deleted(last, by)

    seen = []
    for oldest in (100, 101, 102, 103, 104, 105):
        decided.see(oldest)
        seen.append(decided.id)

    assert seen == [0, 10, 20, 20, 20, 50]


async def test_what_commits_late_is_seen_also_where_something_in_flight_was_taken_away(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an erasure does: as many rows lie behind as are in flight, but not the same."""
    monkeypatch.setattr(relay_module, "RESCAN_SECONDS", 5.0)
    monkeypatch.setattr(relay_module, "BATCH", 1)
    erased, late = thing(name="erased", partition=3), thing(name="late", partition=3)
    newer = late.model_copy(update={"version": 2, "name": "newer"})
    send, open_unit = relay_module._send, AsyncExitStack()

    async def send_and_erase(*arguments: Any) -> Any:
        batch = await send(*arguments)
        monkeypatch.setattr(relay_module, "_send", send)
        async with house.campaign.begin() as work:
            await work.execute(text("DELETE FROM outbox"))
        await open_unit.aclose()
        await house.publish(newer)
        return batch

    monkeypatch.setattr(relay_module, "_send", send_and_erase)
    work = await open_unit.enter_async_context(house.campaign.begin())
    await work.execute(_INSERT, _row(house, late))
    await house.publish(erased)
    async with running(house.relay().run()):
        await eventually(lambda: _is_sent(house, newer))

    names = [house.things.parse(each.value).name for each in await house.on_log(house.things)]
    assert names == ["erased", "late", "newer"]


async def _is_sent(house: House, state: Thing) -> bool:
    log = [house.things.parse(each.value) for each in await house.on_log(house.things)]
    return state in log and await _outbox_is_empty(house)


async def test_states_of_any_size_keep_their_order_within_a_partition(house: House) -> None:
    """Some fill a batch of 128 kB together, some are larger than one, one is as large as any may be."""
    lengths = [10, 50_000, 60_000, 40_000, 300_000, 10, 200_000, 200_000, 10, LARGEST_PAYLOAD - 1_000, 10]
    states = [thing(name="x" * length, partition=5) for length in lengths]

    await house.publish(*states)
    async with running(house.relay().run()):
        await eventually(lambda: _outbox_is_empty(house))

    assert [house.things.parse(each.value) for each in await house.on_log(house.things)] == states


async def test_two_relays_share_the_shards_and_keep_the_order_of_every_key(house: House) -> None:
    keys = [(uuid4(), partition) for partition in range(12)]
    second = relay_module.Relay(house.connect("campaign"), house.kafka["campaign"])
    first = house.relay()

    versions = 0

    async with running(first.run(), second.run()):

        async def both_worked() -> bool:
            nonlocal versions
            versions += 1
            await house.publish(*(thing(versions, partition, id=key) for key, partition in keys))
            return min(first.sent, second.sent) > 300

        await eventually(both_worked)
        await eventually(lambda: _outbox_is_empty(house))

    by_key: dict[bytes, list[int]] = {}
    for each in await house.on_log(house.things):
        by_key.setdefault(each.key, []).append(house.things.parse(each.value).version)
    assert len(by_key) == 12
    assert all(found == list(range(1, versions + 1)) for found in by_key.values())


async def test_a_relay_whose_connection_is_ended_sends_again_and_never_out_of_order(house: House) -> None:
    key = uuid4()
    await house.publish(*(thing(version, id=key) for version in range(1, 3001)))
    relays = [house.relay(), relay_module.Relay(house.connect("campaign"), house.kafka["campaign"])]

    async with running(*(each.run() for each in relays)):
        for _ in range(3):
            await asyncio.sleep(0.15)
            await house.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'souk-campaign relay' AND datname = current_database()",
                house.campaign,
            )
        await eventually(lambda: _outbox_is_empty(house), within=30)

    versions = [house.things.parse(each.value).version for each in await house.on_log(house.things)]
    firsts = list(dict.fromkeys(versions))
    assert firsts == list(range(1, 3001))
    assert versions[-1] == 3000


async def test_a_batch_acknowledged_but_not_deleted_is_only_sent_twice(house: House) -> None:
    await house.publish(thing(1), thing(1))
    async with house.campaign.begin() as work:
        await work.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'no'; END $$"
            )
        )
        await work.execute(text("CREATE TRIGGER refuse BEFORE DELETE ON outbox EXECUTE FUNCTION refuse()"))

    async with running(house.relay().run()):

        async def sent_again() -> bool:
            return len(await house.on_log(house.things)) > 2

        await eventually(sent_again)
        async with house.campaign.begin() as work:
            await work.execute(text("DROP TRIGGER refuse ON outbox"))
        await eventually(lambda: _outbox_is_empty(house))

    records = await house.on_log(house.things)
    assert len(records) > 2
    assert len({each.key for each in records}) == 2


async def test_headers_survive_the_outbox() -> None:
    from souk.chassis import envelope

    headers = [("a", b"1"), ("b", b""), ("c", "ü".encode())]

    assert envelope.unpack(envelope.pack(headers)) == headers
    assert envelope.unpack(envelope.pack([])) == []
    assert envelope.unpack(envelope.pack([("x", b"a\0b"), *headers])) == headers
