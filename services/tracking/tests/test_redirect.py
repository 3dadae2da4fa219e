"""The redirect as a process of its own: it leads on without anything behind it and loses no click."""

import asyncio
import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from confluent_kafka import Producer

from souk.chassis.consumer import IntakeRunner
from souk.chassis.relay import Relay
from souk.contracts.topics.clicks import CLICKS, Click
from souk.contracts.topics.links import LINKS, Link
from souk.tracking.redirect import delivery as delivery_module
from souk.tracking.redirect.app import _host_of
from souk.tracking.redirect.delivery import Delivery
from souk.tracking.redirect.spool import KEYED_VERSION, Spool, decode, encode
from souk.tracking.redirect.targets import Feed, Targets
from souk.tracking.redirect.visitors import Visitors, client_address, is_bot
from souk.tracking.subscriptions import intake

from .conftest import SECRET, START, campaign, participation

FIREFOX = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
KEPT = timedelta(days=400)
NOWHERE = "127.0.0.1:9"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def eventually(holds, within=60.0):
    async with asyncio.timeout(within):
        while not (result := await holds()):  # noqa: ASYNC110  it waits for another process
            await asyncio.sleep(0.05)
    return result


@contextmanager
def redirect(house, spool, environment):
    """The process, ready; killed at the end unless it was stopped."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "souk.tracking.main", "redirect"],
        env={
            **os.environ, **environment, "SOUK_REDIRECT_LISTEN": f"127.0.0.1:{port}", "SOUK_TRACKING_SPOOL": str(spool),  # noqa: E501
            "SOUK_TRACKING_SECRET": SECRET, "SOUK_CLOCK": f"manual:{house.clock}", "SOUK_LOG_LEVEL": "ERROR",
        },
    )  # fmt: skip
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


async def serving(client, url, path="/health/ready"):
    async def answers():
        try:
            return (await client.get(url + path)).status_code == 200
        except httpx.TransportError:
            return False

    await eventually(answers)


@asynccontextmanager
async def worker(house, stack):
    """Relay and intake of the service, in this process."""
    access = stack.kafka.access("tracking")
    runner = IntakeRunner(intake(house.settings), house.units, access, park_run=20)
    tasks = [asyncio.create_task(part) for part in (Relay(house.units, access).run(), runner.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def slug_of(house, campaign_id):
    rows = await house.query("SELECT slug FROM link WHERE campaign_id = :of", of=campaign_id)
    return rows[0][0]


def environment_of(house, stack):
    return {
        **stack.environment("tracking"),
        "SOUK_TRACKING_DATABASE": house.settings.database.get_secret_value(),
    }


def without(environment):
    """The same, but nothing is where it says."""
    return environment | {"SOUK_KAFKA": NOWHERE, "SOUK_TRACKING_DATABASE": f"postgresql://t:t@{NOWHERE}/t"}


async def test_answered_clicks_are_counted_once_whatever_is_down_or_killed(house, stack, topics, tmp_path):
    own, spool = uuid4(), tmp_path / "spool"
    environment = environment_of(house, stack)
    async with httpx.AsyncClient(timeout=10, headers=FIREFOX) as client, worker(house, stack):
        await house.hear(campaign(own, type="url"), participation(campaign_id=own))
        slug = await slug_of(house, own)
        house.now(START)
        with redirect(house, spool, environment) as (process, url):
            await serving(client, url)

            async def leads():
                return (await client.head(f"{url}/r/{slug}")).status_code == 302

            await eventually(leads)
            first = await client.get(f"{url}/r/{slug}", headers={"referer": "https://blog.example/x"})
            bot = await client.get(f"{url}/r/{slug}", headers={"user-agent": "Googlebot/2.1"})
            unknown = await client.get(f"{url}/r/nothing")
            posted = await client.post(f"{url}/r/{slug}")

            async def quiet():
                pulse = (await client.get(f"{url}/internal/pulse")).json()
                return pulse["outbox"] == 0 and pulse["lag"] == 0

            await eventually(quiet)
            counted = await measured(client, url)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0

        with redirect(house, spool, without(environment)) as (process, url):
            await serving(client, url)
            key = {"idempotency-key": "the same click"}
            down = [await client.get(f"{url}/r/{slug}", headers=key)]
            house.now(START + timedelta(days=1))
            down.append(await client.get(f"{url}/r/{slug}", headers=key))
            assert (await client.get(f"{url}/internal/pulse")).json()["outbox"] == 1
            waiting = await measured(client, url)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        newest = max(spool.glob("*.clicks"))
        newest.write_bytes(newest.read_bytes() + b"\0\0\1\0torn")

        with redirect(house, spool, environment) as (process, url):
            await serving(client, url)
            await eventually(quiet_of(client, url))

    assert [answer.status_code for answer in (first, bot, unknown, posted)] == [302, 302, 404, 405]
    assert counted['souk_tracking_redirects_total{status="404"}'] == 1
    assert counted['souk_tracking_redirects_total{status="302"}'] >= 3
    spool_age = "souk_tracking_spool_age_seconds"
    assert (counted["souk_tracking_spooled_clicks"], counted[spool_age]) == (0, 0)
    assert waiting["souk_tracking_spooled_clicks"] == 1
    assert waiting[spool_age] > 0
    where, _, rest = first.headers["location"].partition("souk_click=")
    click_id, _, fragment = rest.partition("#")
    assert (where, fragment) == ("https://shop.example/spring?a=1&", "top")
    assert first.headers["cache-control"] == "no-store"
    assert down[0].headers["location"] == down[1].headers["location"]
    rows = await house.query("SELECT id, verdict, referrer FROM click ORDER BY clicked_at, verdict")
    assert sorted((verdict, referrer) for _, verdict, referrer in rows) == [
        ("billable", "blog.example"), ("bot", None), ("duplicate", None),
    ]  # fmt: skip
    assert UUID(click_id) in {row[0] for row in rows}


async def test_a_click_that_the_disk_does_not_take_is_refused_and_counted_as_that(house, stack, tmp_path):
    link = [str(uuid4()), 1, "spring", [str(uuid4()), str(uuid4()), "https://shop.example/"]]
    (tmp_path / "links.jsonl").write_text(json.dumps(link))
    nowhere = without(environment_of(house, stack))
    async with httpx.AsyncClient(timeout=10, headers=FIREFOX) as client:
        with redirect(house, tmp_path, nowhere) as (process, url):
            await serving(client, url)

            async def click():
                return (await client.get(f"{url}/r/spring")).status_code

            async def refused():
                return (await measured(client, url))['souk_tracking_redirects_total{status="503"}']

            answers = [await click()]
            (segment,) = tmp_path.glob("*.clicks")
            # No file may be longer than this one and half a click: what a disk does that is full.
            room = segment.stat().st_size * 3 // 2
            _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (room, most))
            answers += [await click(), await click()]
            while_full = await refused()
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
            answers.append(await click())
            after, waiting = await refused(), (await measured(client, url))["souk_tracking_spooled_clicks"]

    assert answers == [302, 503, 503, 302]
    assert (while_full, after) == (2, 2)
    assert waiting == 2
    assert len([each for path in tmp_path.glob("*.clicks") for each in decode(path.read_bytes())]) == 2


async def test_a_redirect_that_knows_no_links_yet_refuses_and_counts_it(house, stack, tmp_path):
    async with httpx.AsyncClient(timeout=10, headers=FIREFOX) as client:
        with redirect(house, tmp_path, without(environment_of(house, stack))) as (_, url):
            await serving(client, url, "/health/live")
            answers = [
                (await client.get(f"{url}{path}")).status_code for path in ("/r/spring", "/health/ready")
            ]
            refused = (await measured(client, url))['souk_tracking_redirects_total{status="503"}']

    assert (answers, refused) == ([503, 503], 1)


async def measured(client, url):
    """What `/metrics` says, by name and labels."""
    lines = (await client.get(f"{url}/metrics")).text.splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
    }


def quiet_of(client, url):
    async def quiet():
        return (await client.get(f"{url}/internal/pulse")).json()["outbox"] == 0

    return quiet


@asynccontextmanager
async def delivering(house, stack, spool):
    """Sending and confirming what is in the spool, in this process."""
    url = house.settings.database.get_secret_value()
    delivery = Delivery(spool, stack.kafka.access("tracking"), CLICKS, house.units.clock, url, KEPT)
    tasks = [asyncio.create_task(part) for part in (delivery.send(), delivery.confirm())]
    try:
        yield delivery
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def spooled(folder, number, *values):
    """A segment of clicks: states, or bytes that are none."""
    frames = [
        encode(0, (value.id if isinstance(value, Click) else uuid4()).bytes,
               CLICKS.dump(value) if isinstance(value, Click) else value)
        for value in values
    ]  # fmt: skip
    (folder / f"{number:012d}.clicks").write_bytes(b"".join(frames))


def some_click(campaign_id, at=START):
    return Click(
        id=uuid4(), version=1, changed_at=at, campaign_id=campaign_id, link_id=uuid4(),
        participation_id=uuid4(), visitor="v", agent="browser",
    )  # fmt: skip


def some_link():
    link = uuid4()
    return Link(
        id=link, version=1, changed_at=START, campaign_id=uuid4(), participation_id=uuid4(),
        influencer_id=uuid4(), slug=link.hex[:10], url=f"https://x.example/r/{link.hex[:10]}",
        landing_url="https://shop.example/", active=True, billable=0, bot=0, duplicate=0, outside_period=0,
        reversed=0, last_click_at=None,
    )  # fmt: skip


async def test_clicks_that_the_table_never_gets_do_not_stay_in_the_spool(house, stack, topics, tmp_path):
    own = uuid4()
    good = some_click(own)
    spooled(tmp_path, 1, some_click(own, START - KEPT), b"no click at all")
    spooled(tmp_path, 2, good)
    spool = Spool(tmp_path)
    house.now(START)

    async with worker(house, stack), delivering(house, stack, spool):

        async def empty():
            return spool.depth == 0

        await eventually(empty)

    assert await house.query("SELECT id FROM click WHERE campaign_id = :own", own=own) == [(good.id,)]
    assert await house.query("SELECT value FROM parked WHERE topic = :t", t=CLICKS.name) == [
        (b"no click at all",)
    ]


async def test_what_waits_for_long_keeps_no_others_and_is_not_lost(
    house, stack, topics, tmp_path, monkeypatch
):
    monkeypatch.setattr(delivery_module, "_RESEND_SECONDS", 0.2)
    own = uuid4()
    waiting, *counted = (some_click(own) for _ in range(3))
    for number, each in enumerate((waiting, *counted)):
        spooled(tmp_path, number + 1, each)
    spool = Spool(tmp_path)
    await house.hear(*counted)

    async with delivering(house, stack, spool) as delivery:

        async def others_are_gone():
            return spool.depth == 1 and delivery.sent > 3

        await eventually(others_are_gone)
        still = [each.id for each in spool.read(spool.segments[0])[0]]
        await house.hear(waiting)

        async def empty():
            return spool.depth == 0

        await eventually(empty)

    assert still == [waiting.id]


async def test_a_kafka_that_takes_no_records_is_not_asked_by_more_and_more_producers(
    house, stack, topics, tmp_path, monkeypatch
):
    made = []
    connected = AIOKafkaClient._get_conn

    async def lost_once_started(client, *node, **group):
        if made and made[-1]._sender and made[-1]._sender.sender_task:
            return None
        return await connected(client, *node, **group)

    def remembered(**settings):
        made.append(AIOKafkaProducer(**settings))
        return made[-1]

    monkeypatch.setattr(AIOKafkaClient, "_get_conn", lost_once_started)
    monkeypatch.setattr(delivery_module, "AIOKafkaProducer", remembered)
    monkeypatch.setattr(delivery_module, "_SEND_SECONDS", 0.3)
    spooled(tmp_path, 1, some_click(uuid4()))
    url = house.settings.database.get_secret_value()
    access = stack.kafka.access("tracking")
    delivery = Delivery(Spool(tmp_path), access, CLICKS, house.units.clock, url, KEPT)

    sending = asyncio.create_task(delivery.send())
    await eventually(lambda: _is(made, 4))
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)

    assert delivery.sent == 0
    assert [each for each in made if each._sender.sender_task and not each._sender.sender_task.done()] == []


async def _is(made, count):
    return len(made) >= count


async def test_links_are_read_on_when_the_clients_own_task_has_ended(stack, topics, tmp_path):
    targets = Targets(tmp_path / "links.jsonl")
    feed = Feed(targets, stack.kafka.access("tracking"), LINKS)
    reading = asyncio.create_task(feed.run())

    async def told():
        state = some_link()
        producer = Producer(stack.kafka.settings("tracking"))
        producer.produce(
            LINKS.name, LINKS.dump(state), key=LINKS.key(state), partition=LINKS.partition(state)
        )
        await asyncio.to_thread(producer.flush, 20)

        async def leads_on():
            return state.slug.encode() in targets.by_slug

        await eventually(leads_on, within=20)

    def fail(*_):
        raise AssertionError("<FetchError error=TopicAuthorizationFailedError()>")

    try:
        await told()
        fetcher = feed._consumer._fetcher
        fetcher._get_actions_per_node = fail
        fetcher._notify(fetcher._wait_consume_future)
        # The fetch that is under way still brings one.
        for _ in range(2):
            await told()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def test_a_segment_ends_where_a_write_was_torn(tmp_path):
    names = [uuid4(), uuid4()]
    whole = encode(3, names[0].bytes, b'{"a":1}')
    (tmp_path / "000000000001.clicks").write_bytes(whole + encode(4, names[1].bytes, b"x" * 50)[:-7])

    spool = Spool(tmp_path)

    assert spool.depth == 1
    assert [each.id for each in spool.read(spool.segments[0])[0]] == names[:1]
    assert [each.partition for each in decode(whole)] == [3]


async def test_who_waits_for_the_disk_is_answered_by_one_sync_and_segments_stay_small(tmp_path):
    spool = Spool(tmp_path, segment_bytes=2000)
    running = asyncio.create_task(spool.run())

    for _ in range(5):
        await asyncio.gather(*(spool.append(encode(0, uuid4().bytes, b"x" * 100)) for _ in range(20)))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert (spool.depth, len(spool.segments)) == (100, 5)
    assert Spool(tmp_path).depth == 100


@asynccontextmanager
async def writing(folder, **sizes):
    spool = Spool(folder, **sizes)
    running = asyncio.create_task(spool.run())
    try:
        yield spool
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def under_key(number):
    return UUID(int=number, version=KEYED_VERSION).bytes


async def again(spool, number, value=b"again"):
    """Ask for the click `number` under its key."""
    key = under_key(number)
    await spool.append(encode(0, key, value), key)


async def test_a_click_asked_for_again_under_its_key_is_kept_once(tmp_path):
    async with writing(tmp_path) as spool:
        leaves = asyncio.create_task(again(spool, 1, b"first"))
        await asyncio.sleep(0)
        leaves.cancel()
        await asyncio.gather(again(spool, 1), again(spool, 1), again(spool, 2, b"other"))
        await again(spool, 1)

        (segment,) = spool.segments
        assert [each.value for each in spool.read(segment)[0]] == [b"first", b"other"]

    async with writing(tmp_path) as spool:
        await again(spool, 1)
        assert spool.depth == 2
        spool.remove(spool.segments[0])

    with (tmp_path / "keyed").open("ab") as file:
        file.write(b"torn")  # by a kill or a full disk
    async with writing(tmp_path) as spool:
        await again(spool, 2)
        assert spool.depth == 0
        await again(spool, 3)
        spool.remove(spool.segments[0])

    async with writing(tmp_path) as spool:
        for number in (1, 2, 3):
            await again(spool, number)
        assert spool.depth == 0


async def test_a_click_under_its_key_is_known_by_its_segment_alone(tmp_path):
    async with writing(tmp_path) as spool:
        await again(spool, 1)
    (tmp_path / "keyed").unlink()  # a kill came before its id was noted

    async with writing(tmp_path) as spool:
        await again(spool, 1)
        assert spool.depth == 1


async def test_of_clicks_under_a_key_so_many_are_known_and_no_more(tmp_path):
    for number in range(6):
        async with writing(tmp_path, most_keyed=2) as spool:
            await again(spool, number)
            spool.remove(spool.segments[0])

    async with writing(tmp_path, most_keyed=2) as spool:
        for number in (5, 4, 0):
            await again(spool, number)
        assert spool.depth == 1
        for number in (10, 11, 12, 13, 10, 0):
            await again(spool, number)
        assert spool.depth == 1 + 4 + 1, "the one of number 0 is forgotten"
    assert sum(path.stat().st_size for path in tmp_path.glob("keyed*")) <= 2 * 2 * 16


async def test_a_click_that_was_not_written_is_when_it_is_asked_for_again(tmp_path, monkeypatch):
    async with writing(tmp_path) as spool:
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", full)
            with pytest.raises(OSError, match="not written"):
                await again(spool, 1)

        await again(spool, 1)

        assert spool.depth == 1


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "close"])
async def test_a_segment_that_could_not_be_opened_loses_no_later_click(tmp_path, monkeypatch, call):
    """The folder's entry could not be made safe; the next click tries with a new segment."""
    real, failures = getattr(os, call), [OSError("I/O error")]

    def fails_once(descriptor):
        real(descriptor)
        if failures:
            raise failures.pop()

    spool = Spool(tmp_path)
    running = asyncio.create_task(spool.run())
    monkeypatch.setattr(os, call, fails_once)

    with pytest.raises(OSError, match="not written"):
        await spool.append(encode(0, uuid4().bytes, b"first"))
    for _ in range(2):
        await spool.append(encode(0, uuid4().bytes, b"later"))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert spool.depth == 2
    assert [each.value for each in spool.read(spool.segments[0])[0]] == [b"later", b"later"]
    assert [path.name for path in tmp_path.iterdir()] == [spool.segments[0].path.name]
    assert Spool(tmp_path).depth == 2


@pytest.mark.parametrize(
    ("agent", "bot"),
    [
        (FIREFOX["user-agent"], False),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1",  # noqa: E501
            False,
        ),
        (
            "Mozilla/5.0 (Linux; Android 14; CUBOT KINGKONG) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36",  # noqa: E501
            False,
        ),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
        ("curl/8.5.0", True),
        ("facebookexternalhit/1.1", True),
        ("Mozilla/5.0 (compatible; DuckDuckGo-Favicons-Bot/1.0)", True),
        ("Mozilla/5.0 (X11; Linux x86_64) Electron/30.0 end-to-end test", True),
        ("Mozilla/5.0 (X11; Linux x86_64) Electron/30.0 Chrome/124.0 Safari/537.36", False),
        ("Mozilla/5.0 (Linux; Android 14; Robot9) Chrome/120.0 Mobile Safari/537.36", False),
        ("", True),
    ],
)
def test_agents_that_name_a_machine_are_bots(agent, bot):
    assert is_bot(agent.encode()) is bot


def test_a_visitor_is_one_for_a_day_and_unknown_after():
    visitors, day = Visitors(SECRET), 86_400_000_000
    morning = visitors.hash_of(17_000 * day, b"192.0.2.1", b"a")

    assert visitors.hash_of(17_000 * day + 5, b"192.0.2.1", b"a") == morning
    assert visitors.hash_of(17_001 * day, b"192.0.2.1", b"a") != morning
    assert Visitors("another secret of tests").hash_of(17_000 * day, b"192.0.2.1", b"a") != morning


def test_only_what_our_proxies_wrote_is_believed():
    assert client_address(b"6.6.6.6, 192.0.2.1", b"10.0.0.1", 1) == b"192.0.2.1"
    assert client_address(b"6.6.6.6, 192.0.2.1, 10.1.1.1", b"10.0.0.1", 2) == b"192.0.2.1"
    assert client_address(b"6.6.6.6", b"10.0.0.1", 0) == b"10.0.0.1"
    assert client_address(b"", b"10.0.0.1", 1) == b"10.0.0.1"


def test_a_referrer_is_a_plain_host_or_nothing():
    assert _host_of(b"https://u:p@Blog.example:8080/x?y") == "blog.example"
    assert _host_of(b'https://a".example/') == ""
