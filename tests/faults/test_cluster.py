"""The cluster is whole, its processes can be ended, frozen and held, and nothing goes past its links."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import psutil
import pytest
import records
from cluster import Cluster, cluster
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient, ConfigResource
from disturbances import break_outside, cut, refuse
from history import History
from market import Market
from mutants import Aim
from scene import Scene

from souk.contracts import acl
from souk.contracts.topic import SERVICES, Service, Topic
from souk.contracts.topics.clicks import CLICKS
from souk.contracts.topics.influencers import INFLUENCERS
from souk.local import clock, tokens
from souk.local.demo.api import Api
from souk.local.folder import Folder, open_folder, remembered_ports
from souk.local.process import Spec
from souk.local.supervisor import Supervisor

pytestmark = pytest.mark.long
PATIENCE = 60.0
SESSION_SECONDS = 10.0
"""For so long Kafka takes a worker that was killed for a member of its group."""


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path_factory.mktemp("cluster") / "data") as started:
        yield started


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as opened:
        yield opened


@pytest.fixture
async def scene(running: Cluster) -> AsyncIterator[Scene]:
    """Where faults last for a second."""
    market = Market(running.gateway, running.folder, (), 1, History())
    yield Scene(running, market, random.Random(1), 1.0, lambda _: None, set())
    await market.close()


async def sign_up(running: Cluster) -> UUID:
    """An influencer whom staff signed up through the gateway."""
    async with httpx.AsyncClient(base_url=running.gateway, timeout=30, trust_env=False) as outside:
        signed, person = tokens.token(running.folder, "staff"), uuid4()
        profile = {"id": str(person), "display_name": "Maker", "country": "US"}
        await Api(outside, lambda: signed, str(uuid4())).post("/v1/influencers", profile)
    return person


async def known_to(running: Cluster, service: Service, influencer: UUID) -> bool:
    """Whether a service's database has them, read past the links."""
    connection = await asyncpg.connect(running.stack.postgres.url(service), timeout=10)
    try:
        found: bool = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM influencer WHERE id = $1)", influencer
        )
        return found
    finally:
        await connection.close()


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def readiness(client: httpx.AsyncClient, running: Cluster, name: str) -> dict[str, str]:
    """What a process lacks by its own account."""
    missing: dict[str, str] = (
        (await client.get(f"{running.address(name)}/health/ready")).json().get("missing", {})
    )
    return missing


async def test_a_process_held_while_it_waits_to_be_started_again_stays_down(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    open_folder(folder)

    async def at_once() -> bool:
        return True

    supervisor = Supervisor(folder, [Spec("sleeper", ("sleep", "600"), at_once)])
    child = supervisor.children["sleeper"]
    await supervisor.start()
    async with asyncio.timeout(PATIENCE):
        # The first time it is started again without delay.
        await supervisor.kill("sleeper", signal.SIGKILL, hold=False)
        await supervisor.until(lambda: child.restarts == 1 and child.state == "ready")
        await supervisor.kill("sleeper", signal.SIGKILL, hold=False)
        await supervisor.until(lambda: child.state == "restarting")

    await supervisor.kill("sleeper", signal.SIGKILL, hold=True)

    async with asyncio.timeout(5):
        await supervisor.until(lambda: child.state == "held")
    await supervisor.stop()


async def test_no_process_is_left_when_the_block_ends(tmp_path: Path) -> None:
    async with cluster(tmp_path / "data", brokers=1, workers=0, start=("env", "IN=TEST")) as small:
        pids = [pid for name in small.supervisor.children if (pid := small.pid(name))]
        assert psutil.Process(small.pid("billing-api")).environ()["IN"] == "TEST"
        small.freeze("kafka")

    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_everything_is_ready(running: Cluster, client: httpx.AsyncClient) -> None:
    states = {name: child.state for name, child in running.supervisor.children.items()}

    assert set(states.values()) == {"ready", "done"}
    assert running.brokers == ("kafka", "kafka-2", "kafka-3")
    assert set(running.service_processes) == {
        *(f"{service}-{part}" for service in SERVICES for part in ("api", "worker-1", "worker-2")),
        "tracking-redirect",
    }
    assert len(running.pulses) == 11
    for url in running.pulses.values():
        (await client.get(url)).raise_for_status()


async def test_a_request_through_the_gateway_reaches_every_reader(running: Cluster) -> None:
    made = await sign_up(running)
    await clock.settle(running.pulses)

    for reader in ("influencer", *sorted(INFLUENCERS.readers)):
        assert await known_to(running, reader, made), reader


async def test_no_process_of_a_service_goes_past_its_links(running: Cluster) -> None:
    known = remembered_ports(running.folder)
    direct = {port for name, port in known.items() if name == "postgres" or name in running.brokers} | {
        known[f"{broker}.{service}"] for broker in running.brokers for service in SERVICES
    }

    for name in running.service_processes:
        connections = psutil.Process(running.pid(name)).net_connections("tcp")
        assert direct.isdisjoint(each.raddr.port for each in connections if each.raddr), name
    assert all(link.counts.connections for link in running.links.values())


async def test_a_killed_worker_comes_back(running: Cluster) -> None:
    before = running.pid("billing-worker-1")

    await running.kill("billing-worker-1")
    await running.ready()

    assert running.pid("billing-worker-1") != before
    made = await sign_up(running)
    await clock.settle(running.pulses)
    assert await known_to(running, "billing", made)


async def test_one_broker_of_three_is_not_missed(running: Cluster) -> None:
    await running.hold("kafka-2")

    made = await sign_up(running)
    await eventually(lambda: known_to(running, "billing", made))

    await running.restart("kafka-2")
    assert running.supervisor.children["kafka-2"].state == "ready"


async def test_a_service_whose_database_refuses_says_so(running: Cluster, client: httpx.AsyncClient) -> None:
    processes = ["billing-api", "billing-worker-1", "billing-worker-2"]

    running.links["billing.database"].refuse()

    for name in processes:
        assert "does not answer" in (await readiness(client, running, name))["database"]
    assert "database" not in await readiness(client, running, "notify-api")
    running.links["billing.database"].restore()
    for name in processes:
        await eventually(lambda name=name: ready(client, running, name))  # type: ignore[misc]


async def ready(client: httpx.AsyncClient, running: Cluster, name: str) -> bool:
    return not await readiness(client, running, name)


async def test_a_produce_request_whose_answer_is_lost_is_sent_again(running: Cluster) -> None:
    link = running.links["influencer.kafka"]
    link.lose_answer()

    made = await sign_up(running)
    await clock.settle(running.pulses)

    assert link.counts.answers_lost == 1
    assert await known_to(running, "billing", made)


@pytest.mark.parametrize("name", ["notify-worker-2", "kafka-3", "postgres"])
async def test_a_frozen_process_goes_on_when_thawed(running: Cluster, name: str) -> None:
    running.freeze(name)
    process = psutil.Process(running.pid(name))
    family = [process, *process.children(recursive=True)]

    async def all_stopped() -> bool:
        return {each.status() for each in family} == {psutil.STATUS_STOPPED}

    await eventually(all_stopped)
    running.thaw(name)

    made = await sign_up(running)
    await clock.settle(running.pulses)
    assert await known_to(running, "notify", made)


async def test_a_held_worker_leaves_its_work_to_the_other(running: Cluster) -> None:
    await running.hold("influencer-worker-1")
    assert "influencer-worker-1" not in running.pulses

    made = await sign_up(running)
    await clock.settle(running.pulses)

    assert await known_to(running, "influencer", made)
    await running.restart("influencer-worker-1")
    assert "influencer-worker-1" in running.pulses


async def test_healed_it_is_whole_again(running: Cluster, client: httpx.AsyncClient) -> None:
    faults = f"{running.standins}/faults"
    await client.post(faults, json={"path_prefix": "/push", "reset": True})
    await running.hold("tracking-redirect")
    await running.hold("kafka")
    running.freeze("valkey")
    running.freeze("billing-worker-2")
    running.links["notify.kafka"].half_open()
    running.links["billing.database"].refuse()

    await running.heal()

    assert (await client.get(faults)).json() == {"items": []}
    made = await sign_up(running)
    await clock.settle(running.pulses)
    assert len(running.pulses) == 11
    assert await known_to(running, "billing", made)
    assert await known_to(running, "notify", made)


async def test_a_fault_that_nothing_meets_is_not_carried_out(running: Cluster, scene: Scene) -> None:
    scene.aim = Aim(services=["campaign"], servers=["kafka"])
    link = running.links["campaign.kafka"]

    async def nobody_is_connected() -> bool:
        return not link.cut()

    for fault in (cut, refuse):
        link.refuse()
        await eventually(nobody_is_connected)
        with pytest.raises(LookupError, match="no connection"):
            await fault(scene)
    link.restore()
    with pytest.raises(LookupError, match="nobody asked"):
        await break_outside(scene)
    await running.heal()


async def test_a_group_that_has_ended_in_order_can_be_set_back_at_once(running: Cluster) -> None:
    await clock.settle(running.pulses)
    group, workers = acl.group("billing"), running.workers("billing")
    admin = AdminClient(running.stack.kafka.settings("admin"))

    def told() -> set[int]:
        [asked] = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
        return {each.offset for each in asked.result(PATIENCE).topic_partitions}

    assert told() != {0}
    began = time.monotonic()
    await asyncio.gather(*(running.hold(each, in_order=True) for each in workers))
    await records.rewind(running.stack, group)

    assert told() == {0}
    assert time.monotonic() - began < SESSION_SECONDS
    await running.heal()


async def test_a_topic_can_be_cut_off_and_is_kept_as_before(running: Cluster) -> None:
    await sign_up(running)
    await clock.settle(running.pulses)

    await records.truncate(running.stack, INFLUENCERS, 1.0)

    assert list(records.read(running.stack, INFLUENCERS.name)) == []
    assert kept_how(running, INFLUENCERS) == "compact"
    await running.command("influencer", "republish", INFLUENCERS.name)
    await clock.settle(running.pulses)
    assert list(records.read(running.stack, INFLUENCERS.name))


async def test_a_topic_that_is_not_compacted_can_be_cut_off_too(running: Cluster) -> None:
    await records.send_malformed(running.stack, random.Random(1), CLICKS.name)

    await records.truncate(running.stack, CLICKS, 1.0)

    assert list(records.read(running.stack, CLICKS.name)) == []
    assert kept_how(running, CLICKS) == "delete"


def kept_how(running: Cluster, topic: Topic[Any]) -> str | None:
    """The clean-up policy."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic.name)
    admin = AdminClient(running.stack.kafka.settings("admin"))
    kept = admin.describe_configs([resource])[resource].result(PATIENCE)
    return kept["cleanup.policy"].value


async def test_a_cluster_that_lost_every_record_has_them_again_from_its_databases(running: Cluster) -> None:
    made = await sign_up(running)
    await clock.settle(running.pulses)

    await running.lose_brokers()
    (said,) = await running.command("influencer", "republish")
    await clock.settle(running.pulses)

    assert said["republished"][INFLUENCERS.name] > 0
    again = await sign_up(running)
    await clock.settle(running.pulses)
    assert await known_to(running, "billing", made)
    assert await known_to(running, "billing", again)
