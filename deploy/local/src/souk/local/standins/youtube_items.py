"""What YouTube shows of the catalogue: channels, uploads and videos as the API's resources."""

import base64
import hashlib
import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from souk.local.standins.catalogue import Catalogue, Video, channel_id

Json = dict[str, Any]
_JOINED = "2012-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Channel:
    """videos, published: side by side, oldest first. handle: `@…`, of one channel alone."""

    id: str
    title: str
    handle: str
    subscribers: int
    videos: Sequence[Video]
    published: Sequence[datetime]

    @property
    def uploads(self) -> str:
        return "UU" + self.id[2:]

    def shown(self, now: datetime) -> Sequence[Video]:
        """What is published by `now`, oldest first."""
        return self.videos[: bisect_right(self.published, now)]


def channels_of(catalogue: Catalogue) -> list[Channel]:
    taken: set[str] = set()
    channels = []
    for title, videos in catalogue.by_channel.items():
        digest = hashlib.sha256(title.encode()).digest()
        handle = "@" + ("".join(filter(str.isalnum, title))[:30] or "channel")
        if handle.casefold() in taken:
            handle = f"{handle}-{digest[:3].hex()}"
        taken.add(handle.casefold())
        channels.append(
            Channel(
                id=channel_id(title),
                title=title,
                handle=handle,
                subscribers=_subscribers(digest),
                videos=videos,
                published=[video.published_at for video in videos],
            )
        )
    return channels


def _subscribers(digest: bytes) -> int:
    """From a thousand to ten million, to three places as YouTube shows them; the same for a title always."""
    places, leading = int.from_bytes(digest[:2]) % 4, 100 + int.from_bytes(digest[2:4]) % 900
    return int(leading * 10 ** (places + 1))


def channel_item(channel: Channel, parts: frozenset[str], now: datetime) -> Json:
    item: Json = {"kind": "youtube#channel", "id": channel.id}
    if "snippet" in parts:
        item["snippet"] = {
            "title": channel.title,
            "description": "",
            "customUrl": channel.handle,
            "publishedAt": _JOINED,
            "localized": {"title": channel.title, "description": ""},
        }
    if "contentDetails" in parts:
        item["contentDetails"] = {"relatedPlaylists": {"likes": "", "uploads": channel.uploads}}
    if "statistics" in parts:
        shown = channel.shown(now)
        views = sum(numbers.views for video in shown if (numbers := video.at(now)))
        item["statistics"] = {
            "viewCount": str(views),
            "subscriberCount": str(channel.subscribers),
            "hiddenSubscriberCount": False,
            "videoCount": str(len(shown)),
        }
    return item


def upload_item(channel: Channel, video: Video, place: int, parts: frozenset[str]) -> Json:
    published = _instant(video.published_at)
    mark = base64.urlsafe_b64encode(f"{channel.uploads}.{video.id}".encode()).decode().rstrip("=")
    item: Json = {"kind": "youtube#playlistItem", "id": mark}
    if "snippet" in parts:
        item["snippet"] = {
            "publishedAt": published,
            "channelId": channel.id,
            "title": video.title,
            "description": "",
            "channelTitle": channel.title,
            "playlistId": channel.uploads,
            "position": place,
            "resourceId": {"kind": "youtube#video", "videoId": video.id},
            "videoOwnerChannelTitle": channel.title,
            "videoOwnerChannelId": channel.id,
        }
    if "contentDetails" in parts:
        item["contentDetails"] = {"videoId": video.id, "videoPublishedAt": published}
    if "status" in parts:
        item["status"] = {"privacyStatus": "public"}
    return item


def video_item(video: Video, parts: frozenset[str], now: datetime) -> Json | None:
    numbers = video.at(now)
    if numbers is None:
        return None
    item: Json = {"kind": "youtube#video", "id": video.id}
    if "snippet" in parts:
        item["snippet"] = {
            "publishedAt": _instant(video.published_at),
            "channelId": channel_id(video.channel),
            "title": video.title,
            "description": "",
            "channelTitle": video.channel,
            **({"tags": list(video.tags)} if video.tags else {}),
            "categoryId": video.category,
            "liveBroadcastContent": "none",
            "localized": {"title": video.title, "description": ""},
        }
    if "statistics" in parts:
        counts = {
            "viewCount": numbers.views,
            "likeCount": numbers.likes,
            "favoriteCount": 0,
            "commentCount": numbers.comments,
        }
        # A hidden count is absent.
        item["statistics"] = {name: str(count) for name, count in counts.items() if count is not None}
    return item


def response(kind: str, items: list[Json], total: int, size: int, turn: Json) -> Json:
    marked = [{"kind": item["kind"], "etag": _etag(item), **item} for item in items]
    return {
        "kind": kind,
        "etag": _etag([item["etag"] for item in marked]),
        **turn,
        "pageInfo": {"totalResults": total, "resultsPerPage": size},
        "items": marked,
    }


def _etag(content: object) -> str:
    digest = hashlib.sha1(json.dumps(content).encode(), usedforsecurity=False).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
