"""Each alert's signal, as it is scraped, is moved by the faults that its runbook names, and comes back.

A gauge has to pass the alert's own bound, and a counter to grow by more than it. For how long the alert wants
that to last is left to Prometheus: a fault is over as soon as its signal has moved.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from disturbances import FAULTS
from rehearsal import ASKED, MAKERS, Rig, rehearsal
from signals import Increase, conditions

from souk.contracts.topic import Service
from souk.contracts.topics.influencers import INFLUENCERS
from souk.contracts.topics.participations import PARTICIPATIONS
from souk.contracts.topics.terms import TERMS
from souk.influencer.api.influencers import MOST_IMPORTED

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with rehearsal(tmp_path_factory.mktemp("signals")) as opened:
        yield opened


@pytest.fixture
async def rig(running: Rig) -> AsyncIterator[Rig]:
    """At rest, and whole again when the test is over."""
    await running.rest()
    yield running
    await running.suite.heal()
    await running.rest()


@pytest.mark.parametrize(
    ("fault", "service"),
    [("kill_service", "campaign"), ("freeze_service", "billing"), ("fewer_workers", "notify")],
)
async def test_service_away(rig: Rig, fault: str, service: Service) -> None:
    [away] = conditions("SoukServiceAway")
    [up] = away.selectors
    worker = f"{service}-worker-1"
    assert up.values(await rig.scrape(), instance=worker) == [1]

    async with rig.fault(fault, processes=(worker,), services=(service,)):
        await rig.until(lambda now: [*map(away.holds, up.values(now, instance=worker))] == [True])

    await rig.until(lambda now: up.values(now, instance=worker) == [1])


async def test_outbox_stuck(rig: Rig) -> None:
    [stuck] = conditions("SoukOutboxStuck")

    # Side by side, for each takes a minute.
    async with (
        rig.fault("refuse", services=("campaign",), servers=("kafka",)),
        rig.fault("half_open", services=("influencer",), servers=("kafka",)),
    ):
        await rig.organisation()
        await rig.sign_up(1)
        await rig.shows(stuck, job="souk-campaign")
        await rig.shows(stuck, job="souk-influencer")
        assert stuck.highest(await rig.scrape(), job="souk-billing") == 0

    await rig.falls(stuck)


@pytest.mark.parametrize(("fault", "server"), [("refuse", "kafka"), ("half_open", "database")])
async def test_clicks_waiting(rig: Rig, fault: str, server: str) -> None:
    [waiting] = conditions("SoukClicksWaiting")
    link = await rig.campaign()
    await rig.falls(waiting)

    async with rig.fault(fault, services=("tracking",), servers=(server,)):
        assert await rig.click(link) == httpx.codes.FOUND
        await rig.shows(waiting)

    await rig.falls(waiting)


async def test_clicks_refused(rig: Rig) -> None:
    [refused] = conditions("SoukClicksRefused")
    [redirects] = refused.selectors
    link = await rig.campaign()
    grown, after = Increase(), Increase()

    async with rig.fault("fill_disk"):
        await rig.until(
            lambda now: refused.holds(grown.see(now).of(redirects)), meanwhile=lambda: rig.click(link)
        )

    after.see(await rig.scrape())
    assert await rig.click(link) == httpx.codes.FOUND
    assert after.see(await rig.scrape()).of(redirects) == 0


async def test_reading_late(rig: Rig) -> None:
    late, stopped = conditions("SoukReadingLate")
    await rig.falls(late)

    # Side by side, for each takes two minutes.
    async with (
        rig.fault("half_open", services=("billing",), servers=("database",)),
        rig.fault("refuse", services=("notify",), servers=("database",)),
    ):
        await rig.sign_up(1)
        await rig.shows(late, job="souk-billing", topic=INFLUENCERS.name)
        await rig.shows(late, job="souk-notify", topic=INFLUENCERS.name)
        now = await rig.scrape()
        assert not late.holds(late.highest(now, job="souk-tracking"))
        assert not stopped.holds(stopped.highest(now))

    await rig.falls(late)


async def test_records_parked_that_nobody_can_read(rig: Rig) -> None:
    [parked] = conditions("SoukRecordsParked")
    await rig.falls(parked)

    async with rig.fault("send_malformed", topics=(TERMS.name,)):
        await rig.shows(parked, job="souk-billing", topic=TERMS.name)

    [malformed] = await rig.suite.command("billing", "deadletter", "list")
    await rig.suite.command("billing", "deadletter", "drop", str(malformed["id"]))
    await rig.falls(parked)


async def test_records_parked_that_can_not_be_applied(rig: Rig) -> None:
    [parked] = conditions("SoukRecordsParked")
    await rig.campaign()
    await rig.falls(parked)

    # One in three of them.
    async with rig.fault("refuse_records", pick=-1, services=("notify",), topics=(PARTICIPATIONS.name,)):
        await rig.shows(parked, job="souk-notify", topic=PARTICIPATIONS.name)

    await rig.falls(parked)


async def test_partition_stopped(rig: Rig) -> None:
    [stopped] = conditions("SoukPartitionStopped")
    await rig.campaign()
    await rig.falls(stopped)

    # All of them; it is over as soon as the process says that it has stopped.
    async with asyncio.TaskGroup() as group:
        scene = rig.scene("refuse_records", 0, services=("notify",), topics=(PARTICIPATIONS.name,))
        group.create_task(FAULTS[scene.fault](scene))
        await rig.shows(stopped, job="souk-notify", topic=PARTICIPATIONS.name)

    await rig.falls(stopped)


@pytest.mark.parametrize(
    ("fault", "aim", "job"),
    [
        ("refuse", {"services": ("influencer",), "servers": ("kafka",)}, "souk-influencer"),
        ("fail_outside", {"times": 1_000}, "souk-tracking"),
    ],
)
async def test_timers_failing(rig: Rig, fault: str, aim: dict[str, Any], job: str) -> None:
    lately, before = conditions("SoukTimersFailing")
    assert lately == before
    [failures] = lately.selectors
    await rig.campaign()

    async with rig.fault(fault, **aim):
        # The campaign has started by then, and accounts are asked for their followers once a week.
        rig.market.move(timedelta(days=8))
        # In one stretch of time and in the next.
        for grown in (Increase(), Increase()):
            await rig.until(
                lambda now, grown=grown: lately.holds(grown.see(now).of(failures, job=job))  # type: ignore[misc]
            )

    async def are_done() -> bool:
        """Another day's."""
        grown = Increase().see(await rig.scrape())
        rig.market.move(timedelta(days=1))
        await rig.rest()
        return grown.see(await rig.scrape()).of(failures) == 0

    await rig.suite.heal()
    await rig.rest()
    await rig.eventually(are_done)


async def test_timers_late(rig: Rig) -> None:
    [late] = conditions("SoukTimersLate")
    await rig.campaign()
    await rig.falls(late)

    async with (
        rig.fault("refuse", services=("influencer",), servers=("kafka",)),
        rig.fault("move_clock"),
    ):
        await rig.shows(late, job="souk-influencer")

    await rig.falls(late)


@pytest.mark.parametrize("fault", ["refuse", "freeze_database"])
async def test_requests_failing(rig: Rig, fault: str) -> None:
    many, share = conditions("SoukRequestsFailing")
    failed, answered = share.selectors
    assert many.selectors == (failed,)

    def are_failing(grown: Increase) -> bool:
        wrong = grown.of(failed, job="souk-billing")
        return many.holds(wrong) and share.holds(wrong / grown.of(answered, job="souk-billing"))

    async def are_well() -> bool:
        grown = Increase()
        await rig.until(
            lambda now: grown.see(now).of(answered, job="souk-billing") > ASKED, meanwhile=rig.ask_billing
        )
        return grown.of(failed, job="souk-billing") == 0

    await rig.eventually(are_well)
    grown = Increase()
    async with rig.fault(fault, services=("billing",), servers=("database",)):
        await rig.until(lambda now: are_failing(grown.see(now)), meanwhile=rig.ask_billing)

    await rig.eventually(are_well)


async def test_requests_slow(rig: Rig) -> None:
    slow, many = conditions("SoukRequestsSlow")
    [buckets], [answered] = slow.selectors, many.selectors
    assert slow.comparison == ">"

    async def are_slow() -> bool:
        """The quantile lies above the bound, which is a bucket's, when too few are in that bucket."""
        grown = Increase()
        await rig.until(
            lambda now: many.holds(grown.see(now).of(answered, job="souk-billing")),
            meanwhile=rig.ask_billing,
        )
        within, of_all = (grown.of(buckets, job="souk-billing", le=le) for le in (str(slow.bound), "+Inf"))
        return within / of_all < (slow.quantile or 0)

    async def are_fast() -> bool:
        return not await are_slow()

    await rig.eventually(are_fast)
    async with rig.fault("delay", services=("billing",), servers=("database",)):
        await rig.eventually(are_slow)

    await rig.eventually(are_fast)


async def test_channel_away(rig: Rig) -> None:
    away, there = conditions("SoukChannelAway")
    [untouched], [sent] = away.selectors, there.selectors
    await rig.campaign()

    async with rig.fault("fail_outside", times=1_000):
        grown = Increase().see(await rig.scrape())
        rig.market.move(timedelta(days=1))
        await rig.until(lambda now: away.holds(grown.see(now).of(untouched, channel="email")))
        assert not there.holds(grown.of(sent, channel="email"))

    await rig.suite.heal()
    await rig.until(lambda now: there.holds(grown.see(now).of(sent, channel="email")))


async def test_deliveries_lost(rig: Rig) -> None:
    many, share = conditions("SoukDeliveriesLost")
    lost, handed_over = share.selectors
    assert many.selectors == (lost,)
    await rig.campaign()

    def are_lost(grown: Increase) -> bool:
        gone = grown.of(lost, channel="email")
        return many.holds(gone) and share.holds(gone / grown.of(handed_over, channel="email"))

    async with rig.fault("break_outside", times=int(many.bound) + 1):
        grown = Increase().see(await rig.scrape())
        rig.market.move(timedelta(days=1))
        await rig.until(lambda now: are_lost(grown.see(now)))

    await rig.suite.heal()
    await rig.rest()
    await rig.campaign()
    after = Increase().see(await rig.scrape())
    rig.market.move(timedelta(days=1))
    await rig.until(lambda now: after.see(now).of(handed_over, channel="email") >= MAKERS)
    assert after.of(lost, channel="email") == 0


# The last: whoever comes after it has 10,000 more people to tell.
async def test_outbox_grows(rig: Rig) -> None:
    [grows] = conditions("SoukOutboxGrows")
    await rig.falls(grows)

    async with rig.fault("delay", services=("influencer",), servers=("kafka",)):
        await rig.until(
            lambda now: grows.holds(grows.highest(now, job="souk-influencer")),
            meanwhile=lambda: rig.sign_up(MOST_IMPORTED),
        )

    await rig.falls(grows)
