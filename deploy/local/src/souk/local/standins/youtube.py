"""YouTube Data API v3 as far as uploads and their counts go: `channels`, `playlistItems`, `videos`.

It shows the catalogue as of the suite's clock: a channel always, a video from its publication on.
Reference: https://developers.google.com/youtube/v3/docs.
"""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from souk.local.standins import google
from souk.local.standins.catalogue import Catalogue, Video
from souk.local.standins.google import GoogleError
from souk.local.standins.youtube_items import (
    Channel,
    Json,
    channel_item,
    channels_of,
    response,
    upload_item,
    video_item,
)
from souk.local.standins.youtube_query import Resource, filter_of, ids_of, page_of, parts_of, size_of

_PACIFIC = ZoneInfo("America/Los_Angeles")


@dataclass(slots=True)
class YouTube:
    """quota: units of a day of Pacific time by the suite's clock; a call costs one."""

    catalogue: Catalogue
    key: str
    quota: int
    _day: date = date.min
    _spent: int = 0
    _channels: Mapping[str, Channel] = field(init=False)
    _handles: Mapping[str, Channel] = field(init=False)
    _playlists: Mapping[str, Channel] = field(init=False)

    def __post_init__(self) -> None:
        channels = channels_of(self.catalogue)
        self._channels = {channel.id: channel for channel in channels}
        self._handles = {channel.handle.casefold(): channel for channel in channels}
        self._playlists = {channel.uploads: channel for channel in channels}

    def answer(self, resource: Resource, query: Mapping[str, str], now: datetime) -> Json:
        """The response to a GET. Raises GoogleError."""
        self._admit(query.get("key"), now)
        parts = parts_of(resource, query)
        match resource:
            case "channels":
                return self._list_channels(query, parts, now)
            case "playlistItems":
                return self._list_uploads(query, parts, now)
            case "videos":
                return self._list_videos(query, parts, now)

    def _admit(self, key: str | None, now: datetime) -> None:
        if not key:
            raise google.no_key()
        if not hmac.compare_digest(key.encode(), self.key.encode()):
            raise google.wrong_key()
        today = now.astimezone(_PACIFIC).date()
        if today != self._day:
            self._day, self._spent = today, 0
        if self._spent >= self.quota:
            raise google.quota_spent()
        self._spent += 1

    def _list_channels(self, query: Mapping[str, str], parts: frozenset[str], now: datetime) -> Json:
        if filter_of("channels", query) == "forHandle":
            wanted = "@" + query["forHandle"].removeprefix("@").casefold()
            found = [channel] if (channel := self._handles.get(wanted)) else []
        else:
            found = [self._channels[each] for each in ids_of(query["id"]) if each in self._channels]
        size = size_of(query)
        page, turn = page_of(found, query, size)
        items = [channel_item(channel, parts, now) for channel in page]
        answer = response("youtube#channelListResponse", items, len(found), size, turn)
        if not items:
            # Of this list alone the real API leaves an empty `items` out.
            del answer["items"]
        return answer

    def _list_uploads(self, query: Mapping[str, str], parts: frozenset[str], now: datetime) -> Json:
        if filter_of("playlistItems", query) == "id":
            found = [
                upload for each in ids_of(query["id"]) if (upload := self._upload(each, now)) is not None
            ]
        else:
            found = self._uploads(query["playlistId"], now)
        size = size_of(query)
        page, turn = page_of(found, query, size)
        items = [upload_item(channel, video, place, parts) for channel, video, place in page]
        return response("youtube#playlistItemListResponse", items, len(found), size, turn)

    def _uploads(self, playlist: str, now: datetime) -> list[tuple[Channel, Video, int]]:
        """Newest first. A channel that has published nothing has no such playlist."""
        channel = self._playlists.get(playlist)
        shown = channel.shown(now) if channel else ()
        if channel is None or not shown:
            raise GoogleError(
                404,
                "The playlist identified with the request's <code>playlistId</code> parameter "
                "cannot be found.",
                "playlistNotFound",
                "youtube.playlistItem",
                "playlistId",
            )
        return [(channel, video, place) for place, video in enumerate(reversed(shown))]

    def _upload(self, item: str, now: datetime) -> tuple[Channel, Video, int] | None:
        try:
            playlist, _, video = base64.urlsafe_b64decode(item + "==").decode().partition(".")
            uploads = self._uploads(playlist, now)
        except (ValueError, GoogleError):
            return None
        return next((each for each in uploads if each[1].id == video), None)

    def _list_videos(self, query: Mapping[str, str], parts: frozenset[str], now: datetime) -> Json:
        filter_of("videos", query)
        known = self.catalogue.by_id
        items = [
            item
            for each in ids_of(query["id"])
            if (video := known.get(each)) and (item := video_item(video, parts, now)) is not None
        ]
        return response("youtube#videoListResponse", items, len(items), len(items), {})
