"""Read copies keep the newest version; migrations, settings and republishing."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from souk.chassis import store, tables
from souk.chassis.database import open_engine
from souk.chassis.migrations import head, is_current, migrate
from souk.chassis.republish import republish
from souk.chassis.settings import ServiceSettings
from souk.chassis.work import Units, Work
from souk.checker.topics import Log, Told, topic_reader

from .conftest import START, House, Thing, copy, eventually, group_in, running, thing


def _row(version: int, name: str, id: UUID | None = None) -> dict[str, Any]:  # noqa: A002
    return {
        "id": id or uuid4(),
        "version": version,
        "name": name,
        "tags": [name, "x,y"],
        "extra": {"n": name},
    }


@pytest.mark.parametrize("staged_from", [2000, 1])
async def test_an_older_version_never_replaces_a_newer_one(
    desk: House, monkeypatch: pytest.MonkeyPatch, staged_from: int
) -> None:
    monkeypatch.setattr(store, "STAGED_FROM", staged_from)
    first, second, third = uuid4(), uuid4(), uuid4()
    async with desk.billing.begin() as work:
        await store.upsert_newer(work, copy, [_row(2, "a2", first), _row(5, "b5", second)])

    async with desk.billing.begin() as work:
        changed = await store.upsert_newer(
            work,
            copy,
            [_row(3, "a3", first), _row(1, "a1", first), _row(5, "again", second), _row(1, "c1", third)],
        )
        again = await store.upsert_newer(work, copy, [_row(3, "a3", first)])
        rows = await work.fetch_all(select(copy).order_by(copy.c.name))

    assert (changed, again) == ({first, third}, set())
    assert [(row.version, row.name, row.tags, row.extra) for row in rows] == [
        (3, "a3", ["a3", "x,y"], {"n": "a3"}),
        (5, "b5", ["b5", "x,y"], {"n": "b5"}),
        (1, "c1", ["c1", "x,y"], {"n": "c1"}),
    ]


@pytest.mark.parametrize("staged_from", [2000, 1])
async def test_missing_values_stay_missing_and_unnamed_columns_untouched(
    desk: House, monkeypatch: pytest.MonkeyPatch, staged_from: int
) -> None:
    monkeypatch.setattr(store, "STAGED_FROM", staged_from)
    key = uuid4()
    async with desk.billing.begin() as work:
        await store.upsert_newer(work, copy, [_row(1, "kept", key)])
        await store.upsert_newer(work, copy, [{"id": key, "version": 2, "tags": None, "extra": None}])
        (row,) = await work.fetch_all(select(copy))

    assert (row.version, row.name, row.tags, row.extra) == (2, "kept", None, None)


async def test_rows_are_appended_by_copy(desk: House) -> None:
    async with desk.billing.begin() as work:
        await store.copy_rows(work, copy, [_row(1, f"{n}") for n in range(3000)])
        assert len(await work.fetch_all(select(copy.c.id))) == 3000


async def test_a_read_only_unit_writes_nothing(desk: House) -> None:
    with pytest.raises(Exception, match="read-only"):
        async with desk.billing.begin(read_only=True) as work:
            await store.copy_rows(work, copy, [_row(1, "a")])
    with pytest.raises(RuntimeError, match="publishes nothing"):
        async with desk.campaign.begin(read_only=True) as work:
            work.publish("thing.made", Thing(id=uuid4(), version=1, changed_at=START, group=uuid4()))
    async with desk.billing.begin() as work:
        await store.copy_rows(work, copy, [_row(1, "a")])


async def test_a_unit_that_passed_over_an_error_says_that_nothing_was_committed(desk: House) -> None:
    async def pass_over() -> None:
        async with desk.billing.begin() as work:
            await store.upsert_newer(work, copy, [_row(1, "lost")])
            with suppress(DBAPIError):
                await work.execute(text("SELECT 1 / 0"))

    with pytest.raises(RuntimeError, match="nothing was committed"):
        await pass_over()

    assert await desk.query("SELECT name FROM copy") == []


async def test_a_unit_that_is_cancelled_leaves_nothing_and_no_open_transaction(desk: House) -> None:
    begun = asyncio.Event()

    async def endless() -> None:
        async with desk.billing.begin() as work:
            await store.upsert_newer(work, copy, [_row(1, "lost")])
            begun.set()
            await work.execute(text("SELECT pg_sleep(60)"))

    task = asyncio.create_task(endless())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert await desk.query("SELECT name FROM copy") == []
    open_ones = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND state LIKE 'idle in transaction%'"
    )
    assert await desk.query(open_ones) == [(0,)]


async def test_a_unit_cancelled_at_any_point_leaves_a_connection_that_is_free(desk: House) -> None:
    """A reader is cancelled at its first step, its second, … until it ends by itself; then one writes."""
    engine = open_engine(desk.billing.engine.url.render_as_string(hide_password=False), "test", pool=1)
    units = Units(engine, desk.billing.clock, "billing")

    async def read() -> bool:
        async with units.begin(read_only=True) as work:
            await work.scalar(text("SELECT 1"))
        return True

    steps, ended = 0, False
    while not ended:
        reader = asyncio.create_task(read())
        for _ in range(steps):
            await asyncio.sleep(0)
        reader.cancel()
        ended = await asyncio.gather(reader, return_exceptions=True) == [True]
        async with units.begin() as work:
            await store.copy_rows(work, copy, [_row(1, "written")])
        steps += 1

    await engine.dispose()
    assert await desk.query("SELECT count(*) FROM copy") == [(steps,)]


async def test_connections_that_the_server_ended_are_replaced(desk: House) -> None:
    async with desk.billing.begin() as one, desk.billing.begin() as other:
        ended = await one.scalar(text("SELECT pg_backend_pid()"))
        await other.scalar(text("SELECT 1"))
    await desk.query(f"SELECT pg_terminate_backend({ended})")

    async with desk.billing.begin() as one, desk.billing.begin() as other:
        assert ended not in [await work.scalar(text("SELECT pg_backend_pid()")) for work in (one, other)]


async def test_a_read_only_unit_sees_one_snapshot(desk: House) -> None:
    async with desk.billing.begin(read_only=True) as work:
        before = await work.fetch_all(select(copy.c.id))
        async with desk.billing.begin() as other:
            await store.copy_rows(other, copy, [_row(1, "a")])
        after = await work.fetch_all(select(copy.c.id))

    assert before == after


async def test_new_ids_sort_by_the_suites_clock(desk: House) -> None:
    async with desk.campaign.begin() as work:
        made = work.new_id()

    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == int(START.timestamp() * 1000)


async def test_an_event_that_the_topic_does_not_know_is_refused(desk: House) -> None:
    state = Thing(id=uuid4(), version=1, changed_at=START, group=uuid4())

    with pytest.raises(ValueError, match="no event"):
        async with desk.campaign.begin() as work:
            work.publish("thing.eaten", state)


async def test_republishing_puts_every_newest_state_on_its_topic_again(house: House) -> None:
    states = sorted(
        (Thing(id=uuid4(), version=4, changed_at=START, group=group_in(n % 12)) for n in range(30)),
        key=lambda state: state.id,
    )

    async def things_after(_: Work, after: UUID | None, limit: int) -> list[Thing]:
        return [state for state in states if after is None or state.id > after][: min(limit, 7)]

    sent = await republish(house.campaign, {house.things: things_after})
    async with running(house.relay().run()):
        await eventually(lambda: _outbox_is_empty(house))
    on_log = await house.on_log(house.things)

    assert sent == {house.things.name: 30}
    assert {house.things.parse(each.value).id for each in on_log} == {state.id for state in states}
    assert {dict(each.headers)["ce_type"] for each in on_log} == {b"thing.republished"}


async def _stale(house: House) -> list[str]:
    """What `check` finds of keys whose last record is not their newest."""
    told = Told()
    log = Log(house.things, told)
    try:
        async with topic_reader(house.kafka["campaign"].client()) as reader:
            await reader.read(log)
        return [each.detail for each in log.stale()]
    finally:
        log.close()
        told.close()


async def test_an_older_state_behind_a_newer_one_is_found_and_republishing_mends_it(house: House) -> None:
    older = thing(partition=3)
    newer = older.model_copy(update={"version": 2})
    key = house.things.key(older)
    await house.produce((3, key, house.things.dump(newer)), (3, key, house.things.dump(older)))

    async def things_after(_: Work, after: UUID | None, __: int) -> list[Thing]:
        return [] if after else [newer]

    before = await _stale(house)
    await republish(house.campaign, {house.things: things_after})
    async with running(house.relay().run()):
        await eventually(lambda: _outbox_is_empty(house))

    assert before == ["version 1 at 3/1 comes after version 2"]
    assert await _stale(house) == []


async def test_republishing_gets_over_a_deadlock(desk: House) -> None:
    first, second = sorted((uuid4(), uuid4()))
    async with desk.campaign.begin() as work:
        await store.copy_rows(work, copy, [_row(1, "a", first), _row(1, "b", second)])

    async def things_after(work: Work, after: UUID | None, _: int) -> list[Thing]:
        rows = select(copy.c.id).where(copy.c.id > (after or UUID(int=0))).order_by(copy.c.id)
        return [
            Thing(id=id, version=1, changed_at=START, group=group_in(0))
            for (id,) in await work.fetch_all(rows.with_for_update())  # noqa: A001
        ]

    async def is_waiting() -> bool:
        return await desk.query(_WAITING, desk.campaign) == [(1,)]

    async with desk.campaign.begin() as other:
        await other.fetch_all(select(copy).where(copy.c.id == second).with_for_update())
        again = asyncio.create_task(republish(desk.campaign, {desk.things: things_after}))
        await eventually(is_waiting)
        # Who began to wait first is the first to look, and gives way.
        await other.fetch_all(select(copy).where(copy.c.id == first).with_for_update())

    assert await again == {desk.things.name: 2}
    assert await desk.query("SELECT count(*) FROM outbox", desk.campaign) == [(2,)]


_WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def _outbox_is_empty(house: House) -> bool:
    return await house.query("SELECT count(*) FROM outbox", house.campaign) == [(0,)]


async def test_a_database_is_migrated_once_and_says_whether_it_is_current(
    database: Any, migrations: Path
) -> None:
    url = database("billing").url
    engine = open_engine(url, "test", pool=1)

    before = await is_current(engine, migrations)
    done = await migrate(url, migrations)
    again = await migrate(url, migrations)
    after = await is_current(engine, migrations)
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), tables.metadata)
        )
    await engine.dispose()

    assert (head(migrations), before, done, again, after) == ("0001", False, True, False, True)
    of_services = {"applied", "copy"}
    assert [
        each for each in differences if not (each[0] == "remove_table" and each[1].name in of_services)
    ] == []


def test_a_services_own_variable_goes_before_the_suites(monkeypatch: pytest.MonkeyPatch) -> None:
    class Settings(ServiceSettings):
        service = "tracking"
        spool: Path

    monkeypatch.setenv("SOUK_KAFKA", "a:1,b:2")
    monkeypatch.setenv("SOUK_DATABASE", "postgresql://other")
    monkeypatch.setenv("SOUK_TRACKING_DATABASE", "postgresql://u:p@h/d")
    monkeypatch.setenv("SOUK_TRACKING_SPOOL", "/var/spool")
    monkeypatch.setenv("SOUK_TRACKING_KAFKA_USER", "tracking")

    settings = Settings()

    assert settings.kafka_access().servers == ("a:1", "b:2")
    assert settings.kafka_access().user == "tracking"
    assert settings.database.get_secret_value() == "postgresql://u:p@h/d"
    assert settings.spool == Path("/var/spool")
    assert "p@h" not in repr(settings)
