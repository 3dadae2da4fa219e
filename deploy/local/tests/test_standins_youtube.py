"""YouTube as tracking's own adapter meets it, and as its documentation describes it."""

import csv
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from souk.local.standins import catalogue
from souk.local.standins.catalogue import PACKAGED, Catalogue, channel_id
from souk.local.standins.google import GoogleError
from souk.local.standins.youtube import YouTube
from souk.local.standins.youtube_query import Resource
from souk.tracking.adapters.platform import NotThereError, PlatformRefusedError, QuotaSpentError
from souk.tracking.adapters.youtube import YouTube as Adapter
from souk.tracking.adapters.youtube import open_client

KEY = "key-of-the-test"
MANY = "Daily Uploads"
BEFORE = datetime(2017, 9, 20, 11, 59, 59, tzinfo=UTC)
FIRST_DAY = datetime(2017, 9, 20, 12, tzinfo=UTC)
SECOND_DAY = datetime(2017, 9, 21, 12, tzinfo=UTC)
EVERY_PART = "snippet,statistics,contentDetails"


class Unlimited:
    """Leaves it to the platform to count."""

    async def spend(self, amount: int) -> None:
        pass

    async def exhaust(self) -> None:
        pass


@asynccontextmanager
async def adapter(url: str, key: str = KEY) -> AsyncIterator[Adapter]:
    async with open_client(url) as client:
        yield Adapter(client, key, Unlimited())


@pytest.fixture
def small(tmp_path: Path) -> Catalogue:
    rows = [
        ("growing", "Grow", "20.09", "100", "10"),
        ("growing", "Grow", "21.09", "250", "9"),
        ("hidden", "Shy", "20.09", "50", "not"),
        *((f"many-{number:02}", MANY, "14.09", "7", "1") for number in range(60)),
    ]
    with (tmp_path / "small.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(catalogue.COLUMNS)
        for video, channel, day, views, likes in rows:
            writer.writerow([video, "A title", channel, 23, "Comedy|stand up", views, likes, 2, day])
    return catalogue.read(tmp_path / "small.csv")


def test_a_date_is_of_2017_unless_it_names_its_year(tmp_path: Path) -> None:
    days = ("05.01", "05.01.2018", "1.1", "31.02.2018", "05.01.18")
    with (tmp_path / "years.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(catalogue.COLUMNS)
        for day in days:
            writer.writerow([day, "A title", "Channel", 23, "", 1, 1, 1, day])

    found = catalogue.read(tmp_path / "years.csv")

    assert {video.id: f"{video.published_at:%Y-%m-%d}" for video in found.videos} == {
        "05.01": "2017-01-05",
        "05.01.2018": "2018-01-05",
        "1.1": "2017-10-01",
    }
    assert found.skipped == {"date": 2}


def youtube(of: Catalogue, quota: int = 10_000) -> YouTube:
    return YouTube(of, KEY, quota)


def refusal(of: YouTube, resource: Resource, now: datetime = FIRST_DAY, **query: str) -> tuple[int, str]:
    with pytest.raises(GoogleError) as refused:
        of.answer(resource, {"key": KEY, "part": "id", **query}, now)
    body = refused.value.body()["error"]
    return body["code"], body["errors"][0]["reason"]


async def test_the_adapter_sees_a_video_from_its_publication_on(standins: Any) -> None:
    grow = channel_id("Grow")
    async with adapter(standins.url) as platform:
        standins.at(BEFORE)
        before = await platform.channels([grow])
        unseen = await platform.videos(["growing"])
        with pytest.raises(NotThereError):
            await platform.uploads(before[grow].uploads, None)

        standins.at(FIRST_DAY)
        after = await platform.channels([grow])
        uploads = await platform.uploads(after[grow].uploads, None)
        seen = await platform.videos(["growing", "hidden", "no such video"])

    assert before[grow].video_count == 0
    assert unseen == {}
    assert after[grow].video_count == 1
    assert after[grow].followers == before[grow].followers
    assert [(upload.external_id, upload.published_at) for upload in uploads.uploads] == [
        ("growing", FIRST_DAY)
    ]
    assert set(seen) == {"growing", "hidden"}
    assert seen["growing"].counts.views == 100
    assert set(seen["growing"].hashtags) == {"standup", "comedy"}
    assert (seen["hidden"].counts.likes, seen["hidden"].counts.comments) == (None, None)


async def test_the_adapter_sees_the_counts_of_the_day_and_the_first_title(standins: Any) -> None:
    standins.at(SECOND_DAY)

    async with adapter(standins.url) as platform:
        seen = (await platform.videos(["growing"]))["growing"]

    assert (seen.counts.views, seen.title) == (250, "Title of growing")


async def test_the_adapter_reads_all_uploads_page_by_page(standins: Any) -> None:
    async with adapter(standins.url) as platform:
        first = await platform.uploads("UU" + channel_id(MANY)[2:], None)
        second = await platform.uploads("UU" + channel_id(MANY)[2:], first.next)

    assert (len(first.uploads), len(second.uploads), second.next) == (50, 10, None)
    assert len({upload.external_id for upload in first.uploads + second.uploads}) == 60


async def test_the_adapter_finds_a_channel_by_its_handle(standins: Any) -> None:
    async with adapter(standins.url) as platform:
        found = await platform.channel_of_handle("@dailyuploads")
        unknown = await platform.channel_of_handle("@nobody")

    assert found is not None
    assert found.external_id == channel_id(MANY)
    assert unknown is None


async def test_the_adapter_is_refused_with_a_wrong_key(standins: Any) -> None:
    async with adapter(standins.url, "wrong") as stranger:
        with pytest.raises(PlatformRefusedError):
            await stranger.videos(["growing"])


async def test_the_adapter_understands_that_the_quota_is_spent(standins: Any) -> None:
    async with httpx.AsyncClient(base_url=standins.url) as switch, adapter(standins.url) as platform:
        await switch.post(
            "/faults", json={"path_prefix": "/youtube", "status": 403, "reason": "quotaExceeded"}
        )
        with pytest.raises(QuotaSpentError):
            await platform.videos(["growing"])


@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}])
async def test_the_adapter_tries_again_after_a_fault(standins: Any, fault: dict[str, Any]) -> None:
    standins.at(FIRST_DAY)
    async with httpx.AsyncClient(base_url=standins.url) as switch, adapter(standins.url) as platform:
        await switch.post("/faults", json={"path_prefix": "/youtube", "times": 2, **fault})
        seen = await platform.videos(["growing"])
        left = (await switch.get("/faults")).json()["items"]

    assert set(seen) == {"growing"}
    assert left == []


def test_the_quota_is_new_at_midnight_in_california(small: Catalogue) -> None:
    platform = youtube(small, quota=1)
    query = {"key": KEY, "part": "id", "id": "growing"}

    platform.answer("videos", query, datetime(2017, 9, 21, 6, 59, tzinfo=UTC))
    spent = refusal(platform, "videos", datetime(2017, 9, 21, 6, 59, 59, tzinfo=UTC), id="growing")
    fresh = platform.answer("videos", query, datetime(2017, 9, 21, 7, tzinfo=UTC))

    assert spent == (403, "quotaExceeded")
    assert fresh["pageInfo"] == {"totalResults": 1, "resultsPerPage": 1}


def test_fifty_ids_are_answered_and_fifty_one_refused(small: Catalogue) -> None:
    ids = [f"many-{number:02}" for number in range(51)]
    platform = youtube(small)

    answered = platform.answer("videos", {"key": KEY, "part": "id", "id": ",".join(ids[:50])}, FIRST_DAY)

    assert len(answered["items"]) == 50
    assert refusal(platform, "videos", id=",".join(ids)) == (400, "invalidFilters")


@pytest.mark.parametrize(
    ("resource", "query", "expected"),
    [
        ("videos", {"id": "growing", "key": ""}, (403, "forbidden")),
        ("videos", {"id": "growing", "key": "other"}, (400, "badRequest")),
        ("videos", {"id": "growing", "part": ""}, (400, "required")),
        ("videos", {"id": "growing", "part": "statistic"}, (400, "unknownPart")),
        ("videos", {}, (400, "missingRequiredParameter")),
        ("videos", {"id": "growing", "channelId": "x"}, (400, "invalid")),
        ("channels", {"id": "x", "forHandle": "y"}, (400, "incompatibleParameters")),
        ("channels", {"id": "x", "maxResults": "51"}, (400, "invalidParameter")),
        ("playlistItems", {"playlistId": "UUnobody"}, (404, "playlistNotFound")),
        ("playlistItems", {"playlistId": "many", "pageToken": "%%%"}, (400, "invalidPageToken")),
    ],
)
def test_a_wrong_call_is_refused_as_google_does(
    small: Catalogue, resource: Resource, query: dict[str, str], expected: tuple[int, str]
) -> None:
    if query.get("playlistId") == "many":
        query = {**query, "playlistId": "UU" + channel_id(MANY)[2:]}

    assert refusal(youtube(small), resource, **query) == expected


def test_uploads_are_listed_newest_first(tmp_path: Path) -> None:
    videos = catalogue.read(PACKAGED)
    busiest = max(videos.by_channel, key=lambda title: len(videos.by_channel[title]))
    now = datetime(2017, 11, 1, tzinfo=UTC)
    query = {
        "key": KEY,
        "part": "contentDetails",
        "playlistId": "UU" + channel_id(busiest)[2:],
        "maxResults": "50",
    }

    listed = youtube(videos).answer("playlistItems", query, now)

    times = [item["contentDetails"]["videoPublishedAt"] for item in listed["items"]]
    assert len(times) == len(videos.by_channel[busiest]) > 1
    assert times == sorted(times, reverse=True)


def test_etags_change_with_what_is_shown_alone(small: Catalogue) -> None:
    platform = youtube(small)
    query = {"key": KEY, "part": "statistics", "id": "growing"}

    first, again, next_day = (
        platform.answer("videos", query, now)["etag"] for now in (FIRST_DAY, FIRST_DAY, SECOND_DAY)
    )

    assert first == again != next_day


def test_answers_have_the_shape_of_recorded_ones(small: Catalogue) -> None:
    recorded_channel = {
        "kind": "youtube#channel",
        "etag": "x",
        "id": "UC",
        "snippet": {
            "title": "x",
            "description": "x",
            "customUrl": "@x",
            "publishedAt": "2005-09-18T22:37:10Z",
            "localized": {"title": "x", "description": "x"},
        },
        "contentDetails": {"relatedPlaylists": {"likes": "", "uploads": "UU"}},
        "statistics": {
            "viewCount": "1",
            "subscriberCount": "1",
            "hiddenSubscriberCount": False,
            "videoCount": "1",
        },
    }
    query = {"key": KEY, "part": EVERY_PART, "id": channel_id("Grow"), "maxResults": "50"}

    answer = youtube(small).answer("channels", query, FIRST_DAY)

    assert shape(answer["items"][0]) == shape(recorded_channel)
    assert answer["kind"] == "youtube#channelListResponse"
    assert answer["pageInfo"] == {"totalResults": 1, "resultsPerPage": 50}
    assert json.loads(json.dumps(answer)) == answer


def shape(value: Any) -> Any:
    return {name: shape(each) for name, each in value.items()} if isinstance(value, dict) else type(value)
