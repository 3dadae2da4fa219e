"""Due work is done once, by the suite's clock, in order."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY
from sqlalchemy import text

from souk.chassis import ends, envelope, telemetry
from souk.chassis.clock import ManualClock, set_manual
from souk.chassis.ends import LogEnds
from souk.chassis.timer_runner import TimerRunner
from souk.chassis.timers import Job, LostError, Timer, Timers
from souk.chassis.work import Units, Work

from .conftest import START, House, eventually, record, running, thing

HOUR = timedelta(hours=1)
REQUEST = "00-11111111111111111111111111111111-2222222222222222-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    telemetry.configure("things", exporter=exporter)
    yield exporter
    telemetry.forget()


async def _no_barrier(*_: Any) -> None:
    return None


def _runner(timers: Timers, units: Units) -> TimerRunner:
    return TimerRunner(timers, units, _no_barrier)


async def _note(work: Work, name: str) -> None:
    await work.execute(text("INSERT INTO applied (name) VALUES (:name)"), {"name": name})


async def _schedule(house: House, *entries: tuple[str, str, Any]) -> None:
    async with house.billing.begin() as work:
        for kind, subject, due_at in entries:
            work.schedule(kind, subject, due_at, note=subject)


async def _nothing_due(house: House) -> bool:
    reading = await house.pulse(house.billing, None).read()
    return reading.due == 0


async def test_a_timer_fires_when_the_clock_reaches_it_and_is_gone(desk: House) -> None:
    timers = Timers()

    @timers.on("k")
    async def fire(work: Work, timer: Timer) -> None:
        await _note(work, f"{timer.subject} {timer.data['note']} {timer.due_at == work.now}")

    await _schedule(desk, ("k", "a", START + HOUR))
    async with running(_runner(timers, desk.billing).run()):
        before = await desk.pulse(desk.billing, None).read()
        set_manual(desk.clock, START + HOUR)
        await eventually(lambda: _nothing_due(desk))

    assert (before.due, before.next_due) == (0, START + HOUR)
    assert await desk.applied() == ["a a True"]
    assert await desk.query("SELECT count(*) FROM timer") == [(0,)]


async def test_due_timers_of_a_kind_fire_in_order_and_once_under_two_workers(desk: House) -> None:
    timers = Timers()

    @timers.on("k")
    async def fire(work: Work, timer: Timer) -> None:
        await _note(work, timer.subject)

    entries = [("k", f"{n:03}", START + HOUR - timedelta(minutes=n % 7)) for n in range(60)]
    await _schedule(desk, *entries)
    set_manual(desk.clock, START + HOUR)
    async with running(_runner(timers, desk.billing).run()):
        await eventually(lambda: _nothing_due(desk))
    alone = await desk.applied()
    await _schedule(desk, *entries)
    async with running(*(_runner(timers, desk.connect("billing")).run() for _ in range(2))):
        await eventually(lambda: _nothing_due(desk))
    together = (await desk.applied())[60:]

    assert alone == [subject for _, subject, _ in sorted(entries, key=lambda each: (each[2], each[1]))]
    assert sorted(together) == sorted(alone)


async def test_a_handler_that_reschedules_keeps_its_timer(desk: House) -> None:
    timers = Timers()

    @timers.on("daily")
    async def fire(work: Work, timer: Timer) -> None:
        await _note(work, timer.due_at.isoformat())
        work.schedule("daily", timer.subject, timer.due_at + 24 * HOUR)

    await _schedule(desk, ("daily", "a", START))
    async with running(_runner(timers, desk.billing).run()):
        await eventually(lambda: _nothing_due(desk))
        set_manual(desk.clock, START + 24 * HOUR)
        await eventually(lambda: _nothing_due(desk))

    assert await desk.applied() == [START.isoformat(), (START + 24 * HOUR).isoformat()]


async def test_what_a_timer_does_goes_on_with_the_trace_that_set_it(
    desk: House, spans: InMemorySpanExporter
) -> None:
    timers = Timers()

    @timers.on("first")
    async def fire(work: Work, timer: Timer) -> None:
        work.schedule("second", timer.subject, work.now)

    @timers.job("second")
    async def tell(job: Job) -> None:
        async with job.units.begin() as work:
            work.publish("thing.made", thing())
            await job.done(work)

    with telemetry.work_span("request", REQUEST):
        await _schedule(desk, ("first", "a", START))
    async with running(_runner(timers, desk.billing).run()):
        await eventually(lambda: _nothing_due(desk))

    by_name = {span.name: span for span in spans.get_finished_spans()}
    request, first, second = (by_name[name] for name in ("request", "timer first", "job second"))
    assert f"{second.context.trace_id:x}" == "1" * 32
    assert (first.parent.span_id, second.parent.span_id) == (request.context.span_id, first.context.span_id)
    ((headers,),) = await desk.query("SELECT headers FROM outbox")
    published = dict(envelope.unpack(headers))[envelope.TRACEPARENT].decode()
    assert published == f"00-{'1' * 32}-{second.context.span_id:016x}-01"


async def test_a_timer_of_a_records_subject_goes_on_with_that_records_trace(
    desk: House, spans: InMemorySpanExporter
) -> None:
    mine, others = uuid4(), "00-33333333333333333333333333333333-4444444444444444-01"

    with telemetry.work_span("batch", others):
        async with desk.billing.begin() as work:
            work.trace_causes({mine: REQUEST})
            work.schedule("k", mine, START)

    assert await desk.query("SELECT traceparent FROM timer") == [(REQUEST,)]


async def test_what_sets_itself_again_begins_a_trace_each_time(
    desk: House, spans: InMemorySpanExporter
) -> None:
    timers = Timers()

    @timers.on("daily")
    async def fire(work: Work, timer: Timer) -> None:
        work.schedule("daily", "next", timer.due_at + 24 * HOUR)

    @timers.job("poll")
    async def poll(job: Job) -> None:
        async with job.units.begin() as work:
            await job.done(work, again_at=job.timer.due_at + 24 * HOUR)

    with telemetry.work_span("request", REQUEST):
        await _schedule(desk, ("daily", "first", START), ("poll", "a", START))
    async with running(_runner(timers, desk.billing).run()):
        await eventually(lambda: _nothing_due(desk))
        set_manual(desk.clock, START + 24 * HOUR)
        await eventually(lambda: _nothing_due(desk))

    traces = [(s.name, f"{s.context.trace_id:x}") for s in spans.get_finished_spans() if s.name != "request"]
    assert len(traces) == 4
    assert sorted(name for name, trace in traces if trace == "1" * 32) == ["job poll", "timer daily"]
    assert len({trace for _, trace in traces}) == 3


async def test_a_failing_timer_is_due_until_it_succeeds_and_lets_others_pass(desk: House) -> None:
    timers = Timers()
    failures = iter([True, True])

    @timers.on("k")
    async def fire(work: Work, timer: Timer) -> None:
        await _note(work, f"{timer.subject} {timer.attempts}")
        if timer.subject == "a" and next(failures, False):
            raise LookupError("not yet")

    await _schedule(desk, ("k", "a", START), ("k", "b", START))
    async with running(_runner(timers, desk.billing).run()):
        await eventually(lambda: _nothing_due(desk))

    assert await desk.applied() == ["b 0", "a 2"]


async def test_what_is_due_and_what_failed_is_told(desk: House) -> None:
    timers = Timers()
    mended = False

    @timers.on("told")
    async def fire(work: Work, timer: Timer) -> None:
        if not mended:
            raise LookupError("not yet")

    async def told(due: int, failures: int) -> bool:
        failed = REGISTRY.get_sample_value("souk_timer_failures_total", {"kind": "told"}) or 0
        return REGISTRY.get_sample_value("souk_timers_due") == due and failed >= failures

    await _schedule(desk, ("told", "a", START), ("told", "b", START))
    async with running(_runner(timers, desk.billing).run()):
        await eventually(lambda: told(due=2, failures=3))
        mended = True
        await eventually(lambda: told(due=0, failures=3))


async def test_a_cancelled_timer_does_not_fire(desk: House) -> None:
    await _schedule(desk, ("k", "a", START))

    async with desk.billing.begin() as work:
        work.cancel("k", "a")

    assert await desk.query("SELECT count(*) FROM timer") == [(0,)]


async def test_a_job_killed_in_the_middle_runs_again_from_its_start(desk: House) -> None:
    timers = Timers()
    begun = asyncio.Event()
    hang = True

    @timers.job("poll")
    async def poll(job: Job) -> None:
        async with job.units.begin() as work:
            await _note(work, "begun")
        begun.set()
        if hang:
            await asyncio.Event().wait()
        async with job.units.begin() as work:
            await _note(work, "done")
            await job.done(work, again_at=job.timer.due_at + HOUR)

    await _schedule(desk, ("poll", "a", START))
    runner = asyncio.create_task(_runner(timers, desk.connect("billing")).run())
    await asyncio.wait_for(begun.wait(), 10)
    from souk.chassis import timer_runner

    original, timer_runner._DRAIN_SECONDS = timer_runner._DRAIN_SECONDS, 0.1
    runner.cancel()
    await asyncio.gather(runner, return_exceptions=True)
    timer_runner._DRAIN_SECONDS = original
    assert not await _nothing_due(desk)

    hang = False
    async with running(_runner(timers, desk.billing).run()):
        await eventually(lambda: _nothing_due(desk))

    assert await desk.applied() == ["begun", "begun", "done"]
    assert await desk.query("SELECT due_at FROM timer") == [(START + HOUR,)]


async def test_a_job_runs_in_one_worker_at_a_time(desk: House) -> None:
    timers = Timers()
    running_now, most = 0, 0

    @timers.job("poll")
    async def poll(job: Job) -> None:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await asyncio.sleep(0.3)
        running_now -= 1
        async with job.units.begin() as work:
            await _note(work, "ran")
            await job.done(work)

    await _schedule(desk, ("poll", "a", START))
    async with running(*(_runner(timers, desk.connect("billing")).run() for _ in range(2))):
        await eventually(lambda: _nothing_due(desk))

    assert most == 1
    assert await desk.applied() == ["ran"]


async def test_a_job_that_was_ended_elsewhere_ends_without_effect(house: House) -> None:
    await _schedule(house, ("poll", "a", START))
    job = Job(house.billing, Timer("poll", "a", START - HOUR, {}, 0), _no_barrier)

    async def end() -> None:
        async with house.billing.begin() as work:
            await _note(work, "too late")
            await job.done(work)

    with pytest.raises(LostError):
        await end()

    assert await house.applied() == []


async def test_a_barrier_waits_until_the_intake_has_come_to_the_topics_end(house: House) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def handler(work: Work, states: Sequence[Any]) -> None:
        begun.set()
        await go_on.wait()
        await record(work, states)

    intake = house.intake(handler)
    log_ends = LogEnds(house.kafka["billing"])
    wait = ends.barrier(intake, house.billing, log_ends)

    async def applied_when_passed() -> int:
        await wait(house.things)
        return len(await house.applied())

    await house.publish(*(thing(partition=n % 12) for n in range(100)))
    async with running(house.relay().run()):
        await eventually(lambda: _sent(house))
    passing = asyncio.create_task(applied_when_passed())
    async with running(house.runner(intake).run()):
        await asyncio.wait_for(begun.wait(), 15)
        # Batches go past the ends that the barrier saw, which is far enough.
        await house.publish(*(thing(partition=n % 12) for n in range(100)))
        async with running(house.relay().run()):
            await eventually(lambda: _sent(house))
        assert not passing.done()
        go_on.set()
        assert await asyncio.wait_for(passing, 15) >= 100

    with pytest.raises(ValueError, match="doesn't read"):
        await wait(house.others)
    await log_ends.close()


async def test_a_barrier_does_not_wait_for_what_a_lost_topic_held(house: House) -> None:
    asked = asyncio.Event()

    class Ends(LogEnds):
        async def of(self, topics: Any) -> Any:
            found = await super().of(topics)
            asked.set()
            return found

    intake, log_ends = house.intake(), Ends(house.kafka["billing"])
    await house.publish(*(thing(name=f"old {n}") for n in range(9)))
    async with running(house.relay().run()):
        await eventually(lambda: _sent(house))
    passing = asyncio.create_task(ends.barrier(intake, house.billing, log_ends)(house.things))
    await asyncio.wait_for(asked.wait(), 15)

    await house.make_anew(house.things)
    async with running(house.relay().run(), house.runner(intake).run()):
        await house.publish(*(thing(name=f"new {n}") for n in range(3)))
        await asyncio.wait_for(passing, 40)

    await log_ends.close()


async def _sent(house: House) -> bool:
    return (await house.pulse(house.campaign, None).read()).outbox == 0


def test_the_clock_moves_only_forward(tmp_path: Any) -> None:
    path = tmp_path / "clock"
    set_manual(path, START)
    clock = ManualClock(path)

    set_manual(path, START + HOUR)
    with pytest.raises(ValueError, match="forward"):
        set_manual(path, START)

    assert clock.now() == START + HOUR
