"""YouTube Data API v3 (https://developers.google.com/youtube/v3/docs) behind the platform port.

Reading costs one unit a call. A count that its owner hides is absent from `statistics`.
"""

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import httpx

from souk.tracking.adapters.platform import (
    Channel,
    NotThereError,
    PlatformRefusedError,
    PlatformUnavailableError,
    QuotaSpentError,
    Upload,
    UploadPage,
    Video,
)
from souk.tracking.domain.hashtags import hashtags_of
from souk.tracking.domain.metrics import Observation

log = logging.getLogger(__name__)

_IDS_A_CALL = 50
_CALLS_AT_ONCE = 8
_TRIES = 4
_FIRST_PAUSE = 0.2
_TIMEOUT = httpx.Timeout(10.0, connect=3.0)
_LARGEST_ANSWER = 8 * 1024 * 1024
_QUOTA = {"quotaExceeded", "dailyLimitExceeded"}
_RATE = {"rateLimitExceeded", "userRateLimitExceeded"}
_LONGEST_TITLE = 300


class Quota(Protocol):
    async def spend(self, amount: int) -> None:
        """Called before each call. Raises QuotaSpentError when no units are left."""
        ...

    async def exhaust(self) -> None:
        """The platform itself says that the day's units are gone."""
        ...


def open_client(base_url: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=_CALLS_AT_ONCE, max_keepalive_connections=_CALLS_AT_ONCE)
    return httpx.AsyncClient(base_url=base_url, timeout=_TIMEOUT, limits=limits, trust_env=False)


class YouTube:
    """The platform port on one HTTP client, which it does not close."""

    ids_a_call = _IDS_A_CALL
    calls_at_once = _CALLS_AT_ONCE

    def __init__(self, client: httpx.AsyncClient, key: str, quota: Quota) -> None:
        self._http = client
        self._key = key
        self._quota = quota

    async def channels(self, ids: Sequence[str]) -> Mapping[str, Channel]:
        answer = await self._get(
            "channels", part="snippet,statistics,contentDetails", id=",".join(ids), maxResults=_IDS_A_CALL
        )
        return {channel.external_id: channel for channel in map(_channel, _items(answer))}

    async def channel_of_handle(self, handle: str) -> Channel | None:
        answer = await self._get("channels", part="snippet,statistics,contentDetails", forHandle=handle)
        return next((_channel(item) for item in _items(answer)), None)

    async def uploads(self, playlist: str, page: str | None) -> UploadPage:
        turn = {"pageToken": page} if page else {}
        answer = await self._get(
            "playlistItems", part="contentDetails", playlistId=playlist, maxResults=_IDS_A_CALL, **turn
        )
        found = (item.get("contentDetails", {}) for item in _items(answer))
        uploads = tuple(
            Upload(str(each["videoId"])[:100], _instant(each["videoPublishedAt"]))
            for each in found
            if each.get("videoId") and each.get("videoPublishedAt")  # a private video has no time
        )
        return UploadPage(uploads, answer.get("nextPageToken"))

    async def videos(self, ids: Sequence[str]) -> Mapping[str, Video]:
        answer = await self._get(
            "videos", part="snippet,statistics", id=",".join(ids), maxResults=_IDS_A_CALL
        )
        return {video.external_id: video for video in map(_video, _items(answer))}

    async def _get(self, resource: str, **parameters: Any) -> dict[str, Any]:
        pause = _FIRST_PAUSE
        why = ""
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 (jitter)
                pause *= 2
            await self._quota.spend(1)
            try:
                response = await self._http.get(
                    f"/youtube/v3/{resource}", params={**parameters, "key": self._key}
                )
                # An answer of another kind than JSON comes from something in between, so it is tried again.
                body = response.json() if len(response.content) <= _LARGEST_ANSWER else None
            except (httpx.HTTPError, ValueError) as error:
                why = type(error).__name__
                continue
            if response.status_code == 200 and isinstance(body, dict):
                return body
            reasons = _reasons(body)
            why = f"{response.status_code} {' '.join(sorted(reasons))}".strip()
            if reasons & _QUOTA:
                await self._quota.exhaust()
                raise QuotaSpentError(why)
            if response.status_code == 404:
                raise NotThereError(why)
            if response.status_code in (400, 401) or (response.status_code == 403 and not reasons & _RATE):
                log.warning("youtube refused a call", extra={"resource": resource, "why": why})
                raise PlatformRefusedError(why)
        raise PlatformUnavailableError(f"{resource}: {why}")


def _items(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`items` is left out of an answer that holds none."""
    items = answer.get("items", [])
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _reasons(body: object) -> set[str]:
    error = body.get("error") if isinstance(body, dict) else None
    errors = error.get("errors") if isinstance(error, dict) else None
    return (
        {str(each.get("reason")) for each in errors if isinstance(each, dict)}
        if isinstance(errors, list)
        else set()
    )


def _channel(item: Mapping[str, Any]) -> Channel:
    external_id = str(item["id"])
    snippet, statistics = item.get("snippet", {}), item.get("statistics", {})
    playlists = item.get("contentDetails", {}).get("relatedPlaylists", {})
    hidden = bool(statistics.get("hiddenSubscriberCount"))
    return Channel(
        external_id=external_id,
        handle=str(snippet.get("customUrl") or snippet.get("title") or external_id)[:200],
        followers=None if hidden else _count(statistics.get("subscriberCount")),
        video_count=_count(statistics.get("videoCount")),
        uploads=str(playlists.get("uploads") or f"UU{external_id.removeprefix('UC')}"),
    )


def _video(item: Mapping[str, Any]) -> Video:
    snippet, statistics = item.get("snippet", {}), item.get("statistics", {})
    external_id, title = str(item["id"]), str(snippet.get("title", ""))
    tags = snippet.get("tags", [])
    return Video(
        external_id=external_id,
        url=f"https://www.youtube.com/watch?v={external_id}",
        title=title[:_LONGEST_TITLE],
        published_at=_instant(snippet["publishedAt"]),
        hashtags=hashtags_of(map(str, tags) if isinstance(tags, list) else ()),
        counts=Observation(
            views=_count(statistics.get("viewCount")),
            likes=_count(statistics.get("likeCount")),
            comments=_count(statistics.get("commentCount")),
        ),
    )


def _count(value: object) -> int | None:
    """Counts are decimal strings; anything else is no count."""
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _instant(value: str) -> datetime:
    return datetime.fromisoformat(value)
