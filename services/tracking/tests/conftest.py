"""The service on a database of its own, a YouTube that tests write, and other services' states."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select, text

from souk.chassis import envelope
from souk.chassis.clock import ManualClock, SystemClock, set_manual
from souk.chassis.database import open_engine
from souk.chassis.http import application
from souk.chassis.jwks import TokenVerifier
from souk.chassis.migrations import migrate
from souk.chassis.server import served
from souk.chassis.tables import outbox
from souk.chassis.timers import Job, Timer
from souk.chassis.work import Units, Work
from souk.contracts.ids import participation_id
from souk.contracts.state import State
from souk.contracts.topics import topic_named
from souk.contracts.topics.campaigns import Campaign
from souk.contracts.topics.influencers import Influencer
from souk.contracts.topics.organisations import Organisation
from souk.contracts.topics.participations import Participation
from souk.local.folder import Folder
from souk.local.testing import empty
from souk.local.tokens import AUDIENCE, ISSUER, token
from souk.tracking.adapters.youtube import YouTube, open_client
from souk.tracking.handlers import polls
from souk.tracking.main import build
from souk.tracking.settings import TrackingSettings
from souk.tracking.store.quota import Quota
from souk.tracking.subscriptions import intake
from souk.tracking.timers import TIDY, timers

START = datetime(2017, 9, 20, 4, tzinfo=UTC)
END = START + timedelta(days=26)
POLL = datetime(2017, 9, 20, 12, 10, tzinfo=UTC)
DAY = timedelta(days=1)
BRAND, AGENCY, TALENTS = (UUID(int=number) for number in (0xB1, 0xB2, 0xB3))
SPRING, AUTUMN = (UUID(int=number) for number in (0xC1, 0xC2))
MARIE, KENJI = (UUID(int=number) for number in (0xA1, 0xA2))
SECRET = "a secret of the tests"
MIGRATIONS = Path(next(iter(find_spec("souk.tracking").submodule_search_locations))) / "migrations"


def campaign(of: UUID = SPRING, version: int = 1, **fields: Any) -> Campaign:
    usual: dict[str, Any] = {
        "advertiser_id": BRAND,
        "type": "social",
        "lifecycle": "approved",
        "title": "Spring",
        "created_at": START - 9 * DAY,
        "starts_at": START,
        "ends_at": END,
        "hashtags": ("comedy", "funny"),
        "multi_posting": True,
        "currency": "USD",
        "landing_url": "https://shop.example/spring?a=1#top",
    }
    return Campaign(id=of, version=version, changed_at=START, **(usual | fields))


def participation(
    of: UUID = MARIE, campaign_id: UUID = SPRING, version: int = 1, **fields: Any
) -> Participation:
    usual: dict[str, Any] = {"state": "joined", "joined_at": START}
    return Participation(
        id=participation_id(campaign_id, of),
        version=version,
        changed_at=START,
        campaign_id=campaign_id,
        influencer_id=of,
        **(usual | fields),
    )


def influencer(of: UUID = MARIE, version: int = 1, **fields: Any) -> Influencer:
    return Influencer(
        id=of, version=version, changed_at=START, display_name="M", signed_up_at=START, **fields
    )


def organisation(of: UUID = BRAND, version: int = 1, **fields: Any) -> Organisation:
    usual = {"kind": "advertiser", "name": "Brand", "country": "US"}
    return Organisation(id=of, version=version, changed_at=START, **(usual | fields))


@dataclass
class Tube:
    """A YouTube Data API that shows what a test put into it.

    calls: resources asked for, in order. meanwhile: what happens while it is being asked.
    """

    channels: dict[str, dict[str, Any]] = field(default_factory=dict)
    videos: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)
    meanwhile: Callable[[], Awaitable[None]] | None = None
    url: str = ""

    def channel(self, name: str, followers: int | None = 100) -> str:
        self.channels[name] = {"followers": followers}
        return name

    def video(
        self,
        name: str,
        channel: str,
        published_at: datetime,
        tags: Sequence[str] = ("Comedy", "fun ny"),
        **counts: int | None,
    ) -> None:
        known = {"views": 100, "likes": 10, "comments": 1} | counts
        self.videos[name] = {"channel": channel, "at": published_at, "tags": tags, "counts": known}

    def _of(self, channel: str) -> list[str]:
        mine = [name for name, video in self.videos.items() if video["channel"] == channel]
        return sorted(mine, key=lambda name: (self.videos[name]["at"], name), reverse=True)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        resource = scope["path"].rpartition("/")[2]
        query = {key: value[0] for key, value in parse_qs(scope["query_string"].decode()).items()}
        self.calls.append(resource)
        if self.meanwhile is not None:
            await self.meanwhile()
        if self.failures:
            status, reason = self.failures.pop(0)
            body: Any = {"error": {"code": status, "errors": [{"reason": reason}]}}
        else:
            status, body = 200, getattr(self, f"_{resource}")(query)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(b"content-type", b"application/json")],
            }
        )
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})

    def _channels(self, query: dict[str, str]) -> dict[str, Any]:
        ids = query["id"].split(",")
        assert len(ids) <= 50
        return {"items": [self._channel(each) for each in ids if each in self.channels]}

    def _channel(self, name: str) -> dict[str, Any]:
        followers = self.channels[name]["followers"]
        statistics = {"videoCount": str(len(self._of(name))), "hiddenSubscriberCount": followers is None}
        if followers is not None:
            statistics["subscriberCount"] = str(followers)
        uploads = {"relatedPlaylists": {"uploads": f"UU{name}"}}
        return {
            "id": name,
            "snippet": {"customUrl": f"@{name}"},
            "statistics": statistics,
            "contentDetails": uploads,
        }

    def _playlistItems(self, query: dict[str, str]) -> dict[str, Any]:  # noqa: N802
        videos = self._of(query["playlistId"][2:])
        start = int(query.get("pageToken", 0))
        page = videos[start : start + 50]
        answer: dict[str, Any] = {
            "items": [
                {"contentDetails": {"videoId": each, "videoPublishedAt": self.videos[each]["at"].isoformat()}}
                for each in page
            ]
        }
        return answer | ({"nextPageToken": str(start + 50)} if start + 50 < len(videos) else {})

    def _videos(self, query: dict[str, str]) -> dict[str, Any]:
        ids = query["id"].split(",")
        assert len(ids) <= 50
        return {"items": [self._video(each) for each in ids if each in self.videos]}

    def _video(self, name: str) -> dict[str, Any]:
        video = self.videos[name]
        names = {"views": "viewCount", "likes": "likeCount", "comments": "commentCount"}
        return {
            "id": name,
            "snippet": {"title": name, "publishedAt": video["at"].isoformat(), "tags": list(video["tags"])},
            "statistics": {
                names[key]: str(count) for key, count in video["counts"].items() if count is not None
            },
        }


class _Interrupted(Units):
    """Units before one of which, counted from 1, something else happens."""

    def __init__(self, units: Units, number: int, what: Callable[[], Awaitable[None]]) -> None:
        super().__init__(units.engine, units.clock, units.service)
        self._left = number
        self._what = what

    @asynccontextmanager
    async def begin(self, *, read_only: bool = False) -> AsyncIterator[Work]:
        self._left -= 1
        if not self._left:
            await self._what()
        async with super().begin(read_only=read_only) as work:
            yield work


@dataclass
class House:
    """The service's units, its clock and its YouTube."""

    units: Units
    clock: Path
    tube: Tube
    settings: TrackingSettings

    async def hear(self, *states: State) -> None:
        """The states as one batch of the intake would bring them."""
        async with self.units.begin() as work:
            for subscription in intake(self.settings).subscriptions.values():
                if mine := [state for state in states if isinstance(state, subscription.topic.state)]:
                    await subscription.handler(work, mine)

    def now(self, instant: datetime) -> None:
        set_manual(self.clock, instant)

    async def connect(self, of: UUID, channel: str) -> UUID:
        """An account of theirs, connected; its id."""
        async with self.units.begin() as work:
            name = work.new_id()
            await work.execute(
                text(
                    "INSERT INTO account (id, version, changed_at, influencer_id, platform, external_id, handle, connection)"  # noqa: E501
                    " VALUES (:id, 1, :at, :of, 'youtube', :channel, '', 'connected')"
                ),
                {"id": name, "at": work.now, "of": of, "channel": channel},
            )
        return name

    @asynccontextmanager
    async def platform(self, quota: int = 10_000) -> AsyncIterator[YouTube]:
        spent = Quota(self.units, "youtube", quota)
        async with open_client(self.tube.url) as client:
            yield YouTube(client, "key", spent)
            await spent.settle()

    async def poll(
        self,
        at: datetime,
        quota: int = 10_000,
        before_unit: tuple[int, Callable[[], Awaitable[None]]] | None = None,
    ) -> None:
        """before_unit: as in `run_due`."""
        self.now(max(at, ManualClock(self.clock).now()))
        async with self.platform(quota) as platform:
            job = self._job(polls.KIND, at, units=self._units(before_unit))
            await polls.poll(job, platform, "youtube")

    async def tidy(self, at: datetime) -> None:
        self.now(at)
        async with self.units.begin() as work:
            work.schedule(TIDY, "youtube", at)
        await timers(self.settings, lambda _: self.platform()).jobs[TIDY](self._job(TIDY, at))

    async def run_due(self, before_unit: tuple[int, Callable[[], Awaitable[None]]] | None = None) -> int:
        """Do the jobs that are due once, those of the daily poll and tidying apart; how many there were.

        before_unit: what happens just before the unit of work with that number, from 1.
        """
        due = await self.query(
            "SELECT kind, subject, due_at FROM timer WHERE subject <> 'youtube' AND due_at <= :now"
            " ORDER BY kind, subject",
            now=self.units.clock.now(),
        )
        units = self._units(before_unit)
        for kind, subject, at in due:
            job = self._job(kind, at, subject, units)
            await timers(self.settings, lambda _: self.platform()).jobs[kind](job)
        return len(due)

    def _units(self, before_unit: tuple[int, Callable[[], Awaitable[None]]] | None) -> Units:
        return _Interrupted(self.units, *before_unit) if before_unit else self.units

    def _job(self, kind: str, at: datetime, subject: str = "youtube", units: Any = None) -> Job:
        async def barrier(*topics: Any) -> None:
            return None

        return Job(units or self.units, Timer(kind, subject, at, {}, 0), barrier)

    async def query(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        async with self.units.begin(read_only=True) as work:
            return [tuple(row) for row in await work.fetch_all(text(sql), parameters)]

    async def published(self) -> list[tuple[str, Any]]:
        """Event and state of all that waits in the outbox, in order; it is empty after."""
        async with self.units.begin() as work:
            rows = await work.fetch_all(select(outbox).order_by(outbox.c.id))
            await work.execute(text("DELETE FROM outbox"))
        return [
            (
                dict(envelope.unpack(row.headers))["ce_type"].decode(),
                topic_named(row.topic).parse(row.payload),
            )
            for row in rows
        ]


@pytest.fixture(scope="session")
async def shared_units(make_database: Any) -> AsyncIterator[tuple[Units, str]]:
    database = make_database("tracking")
    await migrate(database.url, MIGRATIONS)
    engine = open_engine(database.url, "tracking test", pool=5)
    yield Units(engine, SystemClock(), "tracking"), database.url
    await engine.dispose()


@pytest.fixture(scope="session")
async def shared_tube() -> AsyncIterator[Tube]:
    tube = Tube()
    async with served(tube) as url:
        tube.url = url
        yield tube


def settings_of(url: str) -> TrackingSettings:
    return TrackingSettings(kafka="unused", database=url, secret=SECRET, public_url="https://souk.example")


@pytest.fixture
async def house(shared_units: tuple[Units, str], shared_tube: Tube, tmp_path: Path) -> House:
    """On empty tables, at the start of the story."""
    units, url = shared_units
    set_manual(tmp_path / "clock", START)
    units.clock = ManualClock(tmp_path / "clock")
    await empty(units.engine)
    for shown in (shared_tube.channels, shared_tube.videos, shared_tube.calls, shared_tube.failures):
        shown.clear()
    shared_tube.meanwhile = None
    return House(units, tmp_path / "clock", shared_tube, settings_of(url))


@dataclass
class Door:
    """The service's API and callers of every role."""

    client: httpx.AsyncClient
    folder: Folder

    async def __call__(
        self, role: str, method: str, path: str, body: Any = None, key: str | None = None, **who: Any
    ) -> httpx.Response:
        ids = {"user": uuid4()} if role != "influencer" else {}
        bearer = token(self.folder, role, **(ids | who))
        headers = {"Authorization": f"Bearer {bearer}"} | ({"Idempotency-Key": key} if key else {})
        return await self.client.request(method, path, json=body, headers=headers)


@pytest.fixture(scope="session")
async def shared_door(
    shared_units: tuple[Units, str], shared_tube: Tube, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    units, url = shared_units
    folder = Folder(tmp_path_factory.mktemp("keys"))
    token(folder, "staff")
    parts = build(settings_of(url).model_copy(update={"youtube_url": shared_tube.url}))
    app = application(
        "tracking",
        routers=parts.routers,
        units=units,
        verifier=TokenVerifier(str(folder.jwks), ISSUER, AUDIENCE),
        permissions_of=parts.permissions_of,
    )
    async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=10) as client:
        yield Door(client, folder)
    for close in parts.closers:
        await close()


@pytest.fixture
def door(house: House, shared_door: Door) -> Door:
    """On `house`."""
    return shared_door
