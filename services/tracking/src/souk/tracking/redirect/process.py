"""The redirect's process: its parts, put together. It starts and leads on without Kafka and database."""

import fcntl
import os
from datetime import timedelta
from typing import Any

import uvloop

from souk.chassis import logs
from souk.chassis.clock import clock_from
from souk.chassis.server import serve
from souk.chassis.supervision import supervise
from souk.contracts.topic import Topic
from souk.contracts.topics.clicks import CLICKS
from souk.contracts.topics.links import LINKS
from souk.tracking.metrics import SPOOL_AGE_SECONDS, SPOOLED_CLICKS
from souk.tracking.redirect.app import Redirect
from souk.tracking.redirect.delivery import Delivery
from souk.tracking.redirect.spool import Spool
from souk.tracking.redirect.targets import Feed, Targets, keep_snapshot
from souk.tracking.redirect.visitors import Visitors
from souk.tracking.settings import TrackingSettings


def run(settings: TrackingSettings) -> int:
    """Serve until SIGTERM; the exit code."""
    logs.configure("tracking-redirect", settings.log_level)
    settings.spool.mkdir(parents=True, exist_ok=True)
    # Two writers in one spool would overwrite each other: the second one waits for the first to end.
    lock = os.open(settings.spool / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        return uvloop.run(_run(settings))
    finally:
        os.close(lock)


async def _run(settings: TrackingSettings) -> int:
    tasks = parts(settings, CLICKS, LINKS)
    feeding = [name for name in tasks if name not in ("spool", "send", "confirm", "snapshot")]
    # Answers first, then the disk, then what reads it.
    return await supervise(tasks, [feeding, ["spool"], ["send", "confirm", "snapshot"]], lambda: None)


def parts(settings: TrackingSettings, clicks: Topic[Any], links: Topic[Any]) -> dict[str, Any]:
    """The coroutines of the process by name."""
    clock = clock_from(settings.clock)
    access = settings.kafka_access()
    targets = Targets(settings.spool / "links.jsonl")
    targets.load()
    spool = Spool(settings.spool)
    SPOOLED_CLICKS.set_function(lambda: spool.depth)
    SPOOL_AGE_SECONDS.set_function(lambda: spool.age)
    feed = Feed(targets, access, links)
    delivery = Delivery(
        spool,
        access,
        clicks,
        clock,
        settings.database.get_secret_value(),
        timedelta(days=settings.clicks_kept_days),
    )

    async def pulse() -> dict[str, Any]:
        lag = await feed.lag()
        return {
            "outbox": spool.depth,
            # Unknown is not nothing: whoever waits for quiet goes on waiting.
            "lag": 1 if lag is None else lag,
            "parked": 0,
            "due": 0,
            "next_due": None,
            # Not what is sent: clicks that nobody takes are sent again and again.
            "progress": spool.appended + delivery.confirmed + targets.changes,
        }

    def ready() -> str | None:
        return None if targets.loaded else "the links are not read yet"

    app = Redirect(
        targets,
        spool,
        Visitors(settings.secret.get_secret_value()),
        clock,
        trusted_hops=settings.trusted_hops,
        pulse=pulse,
        ready=ready,
    )
    return {
        "http": serve(app, settings.redirect_listen),
        "feed": feed.run(),
        "spool": spool.run(),
        "send": delivery.send(),
        "confirm": delivery.confirm(),
        "snapshot": keep_snapshot(targets),
    }
