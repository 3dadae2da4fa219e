"""The faults, by seed: each begins, lasts a while beside the load, and is over when its coroutine returns.

Every fault leaves the suite as it found it: what was killed runs again, what was cut is whole, what was taken
from a topic is published again.
"""

import asyncio
import random
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence, Set
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import asyncpg
import httpx
import records
import redis.asyncio as redis
from mutants import Aim
from plans import Plan, Planned, planned
from proxy import Link
from scene import Scene

from souk.checker.places import COPIES, OWNERS
from souk.contracts import acl
from souk.contracts.topic import SERVICES, Service, Topic
from souk.contracts.topics import TOPICS
from souk.contracts.topics.clicks import CLICKS

_BURST_SECONDS = 0.1
_TRY_SECONDS, _TRY_AGAIN_SECONDS = 30.0, 1.0
"""For so long a fault begins again that another was in the way of."""
_MEND_SECONDS = 60.0
_BATCH_SECONDS = 150.0
_PATIENCE_OUTSIDE = {"/youtube": 10.0, "/smtp/rcpt": 30.0, "/smtp/data": 30.0, "/push": 10.0}
"""Seconds after which the services wait no longer for an answer."""
_REFUSED_FOR_GOOD = 0.1
_OWNED = {(place.service, place.table) for place in OWNERS.values()}
_STILL = {
    *(("billing", "member"), ("tracking", "member")),
    *(("influencer", "user_levels"), ("notify", "user_level")),
}
"""What load does not change, nor is it written when it is read again."""
_READ_COPIES = sorted(
    (place.service, place.table, topic.name)
    for topic in TOPICS
    for place in COPIES.get(topic.state, ())
    if (place.service, place.table) not in _OWNED | _STILL
)
_PURE_COPIES: Mapping[Service, Sequence[str]] = {
    "campaign": ("budget",),
    "influencer": ("account", "budget", "organisation", "user_levels"),
    "notify": ("campaign", "contact", "influencer", "participation", "payment", "post", "user_level"),
}
"""Copies with nothing of their service's own, of services that decide nothing for good while one is away.
Influencer's campaigns know what was announced; billing's accounts, participations and items are its ledger's.
Not here are tracking's, by which posts and orders are judged, and billing's payees, from whom taxes follow.
"""
_CROWDED = {"billing.budgets.v1", "campaign.campaigns.v1", "influencer.participations.v1"}
"""Of which so many records are in one partition that the breaker opens when none can be applied."""
_ANY = {topic for _, _, topic in _READ_COPIES}
_AWAIT_BATCHES = "LOCK TABLE consumer_offset IN EXCLUSIVE MODE"
"""Each batch holds its positions until it ends. Who waits for all before it holds any deadlocks nobody."""
_REWIND = "UPDATE consumer_offset SET next_offset = 0"
_CHOSEN = "get_byte(uuid_send(new.id), 15) % {one_in} = 0"
_REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON "{table}" FOR EACH ROW
  WHEN ({chosen}) EXECUTE FUNCTION refuse();
"""

_REFUSED = "SELECT count(*) FROM parked WHERE error LIKE '%P0001%'"
"""What was parked because of `refuse`: PostgreSQL's code of RAISE."""

T = TypeVar("T")
Fault = Callable[[Scene], Awaitable[None]]


async def kill_service(scene: Scene) -> None:
    await scene.cluster.kill(scene.service_process())


async def kill_broker(scene: Scene) -> None:
    await scene.cluster.kill(scene.broker())


async def kill_database(scene: Scene) -> None:
    await scene.cluster.kill("postgres")


async def kill_gateway(scene: Scene) -> None:
    await scene.cluster.kill("gateway")


async def freeze_service(scene: Scene) -> None:
    await _freeze(scene, scene.service_process())


async def freeze_broker(scene: Scene) -> None:
    await _freeze(scene, scene.broker())


async def freeze_database(scene: Scene) -> None:
    await _freeze(scene, "postgres")


async def _freeze(scene: Scene, name: str) -> None:
    scene.cluster.freeze(name)
    try:
        await scene.a_while()
    finally:
        scene.cluster.thaw(name)


async def starve(scene: Scene) -> None:
    """A process gets the processor for a tenth of the time."""
    name = scene.service_process()
    for _ in range(int(scene.longest / _BURST_SECONDS)):
        scene.cluster.freeze(name)
        await asyncio.sleep(_BURST_SECONDS * 0.9)
        scene.cluster.thaw(name)
        await asyncio.sleep(_BURST_SECONDS * 0.1)


async def fill_disk(scene: Scene) -> None:
    """The redirect's disk takes nothing more for a while: no file of the process may be written to."""
    process = scene.cluster.pid("tracking-redirect")
    if process is None:
        raise LookupError("tracking-redirect does not run")
    _, most = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (0, most))
    try:
        await scene.a_while()
    finally:
        # A process that was started anew meanwhile has a disk with room.
        with suppress(ProcessLookupError):
            resource.prlimit(process, resource.RLIMIT_FSIZE, (most, most))


async def wipe_valkey(scene: Scene) -> None:
    async with redis.from_url(scene.cluster.stack.redis) as client:
        await client.flushall()


async def cut(scene: Scene) -> None:
    ended = 0
    for _ in range(scene.chance.randint(1, 5)):
        ended += scene.link().cut()
        await asyncio.sleep(scene.chance.random())
    if not ended:
        raise LookupError("there was no connection")


async def refuse(scene: Scene) -> None:
    link = scene.link()
    ended = link.refuse()
    await _restore(scene, link)
    if not ended:
        raise LookupError("there was no connection")


async def delay(scene: Scene) -> None:
    link = scene.link()
    link.delay(scene.chance.uniform(0.02, 0.5))
    await _restore(scene, link)


async def half_open(scene: Scene) -> None:
    """Connections say nothing for a while; then they go on, or end without what they kept back."""
    link = scene.link()
    link.half_open()
    try:
        await scene.a_while()
        if scene.chance.random() < 0.5:
            scene.meets(f"{link.cut()} connections end")
    finally:
        link.restore()


async def lose_answers(scene: Scene) -> None:
    """Right after a commit was sent: its answer never comes."""
    link = scene.link()
    before = link.counts.answers_lost
    link.lose_answer(scene.chance.randint(1, 8))
    await _restore(scene, link)
    if link.counts.answers_lost == before:
        raise LookupError("nothing was committed meanwhile")


async def _restore(scene: Scene, link: Link) -> None:
    try:
        await scene.a_while()
    finally:
        link.restore()


async def fewer_workers(scene: Scene) -> None:
    """A worker leaves, in order or not, and comes back: the partitions move twice. Or one after another
    leaves for a moment, so that they move before they have come to rest."""
    workers = scene.cluster.workers(scene.service())
    is_storm = scene.chance.random() < 0.5
    for _ in range(scene.chance.randint(3, 5) if is_storm else 1):
        gone, in_order = scene.chance.choice(workers), scene.chance.random() < 0.5
        scene.meets(f"{gone} ends {'in order' if in_order else 'at once'}")
        await scene.cluster.hold(gone, in_order=in_order)
        if is_storm:
            await asyncio.sleep(scene.chance.random())
        else:
            await scene.a_while()
        await scene.cluster.restart(gone)


async def move_clock(scene: Scene) -> None:
    scene.market.move(timedelta(hours=scene.chance.randint(1, 40)))


async def slow_outside(scene: Scene) -> None:
    """Mail, push and platforms answer late, or when nobody waits any more."""
    faults = {}
    for prefix, patience in _PATIENCE_OUTSIDE.items():
        seconds = scene.chance.uniform(0.5, scene.longest)
        times = scene.chance.randint(1, scene.aim.times)
        if scene.chance.random() < 0.5:
            seconds, times = patience + 2, 1
        faults[prefix] = {"slow": seconds, "times": times}
    await _outside(scene, faults)


async def fail_outside(scene: Scene) -> None:
    """They answer that they can't for now; mail seldom that it never will."""
    faults = {}
    for prefix in (*_PATIENCE_OUTSIDE, "/smtp/mail"):
        status, times = 503, scene.chance.randint(1, scene.aim.times)
        if prefix.startswith("/smtp"):
            status = 451
            if scene.chance.random() < _REFUSED_FOR_GOOD:
                # An address that is refused for good gets no mail for the rest of the play.
                status, times = 550, 1
        faults[prefix] = {"status": status, "times": times}
    await _outside(scene, faults)


async def break_outside(scene: Scene) -> None:
    """They do what they were asked, and the connection breaks before their answer."""
    faults = {
        each: {"reset": True, "times": scene.chance.randint(1, scene.aim.times)} for each in _PATIENCE_OUTSIDE
    }
    await _outside(scene, faults)


async def _outside(scene: Scene, faults: Mapping[str, Mapping[str, Any]]) -> None:
    """Have a fault happen below each path. Returns after a while, when one at least has happened; what is
    left may happen until the suite is healed."""
    asked: dict[int, tuple[str, int]] = {}
    async with httpx.AsyncClient(base_url=scene.cluster.standins, trust_env=False) as client:
        for prefix, fault in faults.items():
            scene.meets(f"{prefix} {fault}")
            answer = await client.post("/faults", json={"path_prefix": prefix, **fault})
            asked[answer.raise_for_status().json()["id"]] = (prefix, fault["times"])

        async def happened() -> list[str]:
            answer = await client.get("/faults")
            left = {each["id"]: each["times"] for each in answer.raise_for_status().json()["items"]}
            return [prefix for number, (prefix, times) in asked.items() if left.get(number, 0) < times]

        await scene.a_while()
        scene.meets(f"happened: {' '.join(await _found(happened, 'nobody asked for it'))}")


async def _found(look: Callable[[], Awaitable[T]], otherwise: str, within: float = _TRY_SECONDS) -> T:
    """What `look` finds, once it finds something. Raises LookupError when that takes too long."""
    until = time.monotonic() + within
    while not (found := await look()):
        if time.monotonic() > until:
            raise LookupError(otherwise)
        await asyncio.sleep(_TRY_AGAIN_SECONDS)
    return found


async def rewind_group(scene: Scene) -> None:
    """All positions of a service go back to the beginning: those in Kafka, which takes that of a group that
    has ended alone, and those in its database, where they count, before or after it has begun again."""
    service = scene.service()
    workers = scene.cluster.workers(service)
    both_at_once = scene.chance.random() < 0.5
    try:
        await asyncio.gather(*(scene.cluster.hold(each, in_order=True) for each in workers))
        await records.rewind(scene.cluster.stack, acl.group(service))
        if both_at_once:
            await _administer(scene, service, f"{_AWAIT_BATCHES}; {_REWIND}")
    finally:
        await asyncio.gather(*map(scene.cluster.restart, workers))
    if not both_at_once:
        await _administer(scene, service, f"{_AWAIT_BATCHES}; {_REWIND}")


async def resend(scene: Scene) -> None:
    """The last records of some keys come once more, in another order."""
    await records.resend(scene.cluster.stack, scene.chance, scene.topic().name)


async def resend_newer_minor(scene: Scene) -> None:
    """The same, as a newer minor version of the contracts would write them."""
    await records.resend(scene.cluster.stack, scene.chance, scene.topic().name, newer_minor=True)


async def send_malformed(scene: Scene) -> None:
    topic = scene.topic().name
    scene.malformed |= await records.send_malformed(scene.cluster.stack, scene.chance, topic)


async def recreate_topic(scene: Scene) -> None:
    """A topic is lost, comes back empty or as an older copy of itself, and its owner publishes again."""
    topic = scene.topic()
    keep = scene.chance.choice((0.0, 0.5))
    kept = await records.beginnings(scene.cluster.stack, topic, keep) if keep else []

    async def anew() -> None:
        scene.malformed |= await records.recreate(scene.cluster.stack, topic, kept, scene.malformed)

    await _insist(anew)
    await _republish(scene, topic)


async def truncate_topic(scene: Scene) -> None:
    """The first half of a topic's records goes."""
    topic = scene.topic()
    await records.truncate(scene.cluster.stack, topic, 0.5)
    await _republish(scene, topic)


async def _republish(scene: Scene, topic: Topic[Any]) -> None:
    """Clicks that are not counted yet come again by themselves: the redirect's spool has them."""
    if topic is not CLICKS:
        await _insist(lambda: scene.cluster.command(topic.owner, "republish", topic.name))


async def _insist(mend: Callable[[], Awaitable[Any]]) -> None:
    """What was damaged is mended, whatever else there is, before the fault may begin anew elsewhere."""
    until = time.monotonic() + _MEND_SECONDS
    while True:
        try:
            await mend()
        except Exception:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(_TRY_AGAIN_SECONDS)
        else:
            return


async def lose_kafka(scene: Scene) -> None:
    """All brokers are killed and their data deleted; services publish their states again."""
    await scene.cluster.lose_brokers()
    for service in SERVICES:
        await _insist(partial(scene.cluster.command, service, "republish"))


async def rebuild_copies(scene: Scene) -> None:
    """A service writes its copies anew; every second time one of them has lost all its rows before."""
    service = scene.service()
    if service in _PURE_COPIES and scene.chance.random() < 0.5:
        table = scene.chance.choice(_PURE_COPIES[service])
        scene.meets(f"{service}.{table} loses all rows")
        await _administer(scene, service, f'DELETE FROM "{table}"')
    await _insist(lambda: scene.cluster.command(service, "rebuild"))


async def refuse_records(scene: Scene) -> None:
    """A service reads a topic again and can't apply a third of its states, or none of them, as after a bad
    deployment, until it can; what it parked meanwhile is tried again."""
    one_in = scene.chance.choice((1, 3))
    chosen = _CHOSEN.format(one_in=one_in)
    service, table, topic = await _copy_with(scene, chosen, _CROWDED if one_in == 1 else _ANY)
    scene.meets(f"{service}.{table} {topic}, one in {one_in}")
    await _administer(scene, service, _REFUSE.format(table=table, chosen=chosen))

    async def parked() -> int:
        return await _asked(scene, service, _REFUSED)

    async def stopped() -> list[str]:
        answers = []
        async with httpx.AsyncClient(trust_env=False) as client:
            for each in scene.cluster.workers(service):
                # What another fault has stopped for now says nothing.
                with suppress(httpx.TransportError):
                    answers.append(await client.get(f"{scene.cluster.address(each)}/health/ready"))
        missing = [words for each in answers for words in each.json().get("missing", {}).values()]
        return [words for words in missing if words.startswith("stopped")]

    async def try_again() -> None:
        last: int | None = 0
        while last is not None:
            [told] = await scene.cluster.command(service, "deadletter", "retry", "--after", str(last))
            scene.meets(f"{service} {told}")
            last = told["last"]

    try:
        await _administer(scene, service, f"{_AWAIT_BATCHES}; {_REWIND} WHERE topic = '{topic}'")
        if one_in == 1:
            with suppress(LookupError):
                scene.meets(f"{service} {await _found(stopped, 'no partition has so many records')}")
        else:
            await scene.a_while()
        # Another fault may keep the service from reading, for as long as one may last; and what is parked of
        # a batch, which is applied record by record now, is seen only when all of it is.
        within = scene.longest + _BATCH_SECONDS
        scene.meets(f"{await _found(parked, f'{service}.{table} was not written', within)} are parked")
    finally:
        await _insist(lambda: _administer(scene, service, "DROP FUNCTION IF EXISTS refuse() CASCADE"))
        # What a batch that met it has parked is there for a retry once that batch has ended.
        await _insist(lambda: _administer(scene, service, _AWAIT_BATCHES))
        await _insist(try_again)


async def _copy_with(scene: Scene, chosen: str, topics: Set[str]) -> tuple[Service, str, str]:
    """Service, table and topic of a read copy that has such rows."""
    aim = scene.aim
    copies = [
        (service, table, topic)
        for service, table, topic in _READ_COPIES
        if topic in topics and service in aim.services and topic in (aim.topics or topics)
    ]
    for service, table, topic in scene.chance.sample(copies, len(copies)):
        if await _asked(scene, service, f'SELECT EXISTS (SELECT FROM "{table}" AS new WHERE {chosen})'):
            return service, table, topic
    raise LookupError("there are no copies yet")


async def _administer(scene: Scene, service: Service, statements: str) -> None:
    async with _administration(scene, service) as connection, connection.transaction():
        await connection.execute(statements)


async def _asked(scene: Scene, service: Service, question: str) -> Any:
    async with _administration(scene, service) as connection:
        return await connection.fetchval(question)


@asynccontextmanager
async def _administration(scene: Scene, service: Service) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(scene.cluster.stack.postgres.url("admin", service), timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


BESIDE: Mapping[str, Fault] = {
    each.__name__: each
    for each in (
        *(kill_service, kill_gateway, freeze_service, starve, fewer_workers, wipe_valkey, fill_disk),
        *(cut, refuse, delay, half_open, lose_answers),
        *(slow_outside, fail_outside, break_outside),
    )
}
"""Faults that may overlap with any other: the commands that mend need no process of a service, and go past
its links."""

LIGHT: Mapping[str, Fault] = BESIDE | {
    each.__name__: each
    for each in (
        *(kill_broker, kill_database, freeze_broker, freeze_database),
        *(move_clock, rewind_group, resend, resend_newer_minor, send_malformed),
    )
}
"""Faults that may overlap with each other."""

HEAVY: Mapping[str, Fault] = {
    each.__name__: each
    for each in (recreate_topic, truncate_topic, lose_kafka, rebuild_copies, refuse_records)
}
"""Faults that need Kafka and the owner's database while they are mended."""

FAULTS: Mapping[str, Fault] = {**LIGHT, **HEAVY}


def plan_of_all(seed: int, rounds: int) -> Plan:
    return planned(seed, rounds, LIGHT, HEAVY, BESIDE)


async def disturb(
    scene: Scene, faults: Iterable[Planned], aims: Mapping[str, Aim], done: Counter[str], within: float
) -> dict[Planned, str]:
    """Run the faults, overlapping, to their ends; why some of them could not be carried out.

    aims: by whom a fault is for. done: gets those that were carried out, by kind. within: seconds in which
    all have begun.
    """
    failed: dict[Planned, str] = {}

    async def one(fault: Planned) -> None:
        aim = aims.get(fault.whose, scene.aim)
        mine = replace(scene, chance=random.Random(fault.seed), fault=fault.name, aim=aim)
        await asyncio.sleep(mine.chance.uniform(0, within))
        scene.said(fault.name)
        until, why = time.monotonic() + _TRY_SECONDS, ""
        while time.monotonic() < until:
            try:
                await FAULTS[fault.name](mine)
            except Exception as error:  # noqa: BLE001  another fault was in its way: it is told, and no finding
                why = repr(error)
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
            else:
                done[fault.name] += 1
                return
        failed[fault] = why

    async with asyncio.TaskGroup() as group:
        for fault in faults:
            group.create_task(one(fault))
    return failed
