"""The parameters of a YouTube call: which there are, what they may say, and how a list is paged."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Literal, TypeVar

from souk.local.standins import google
from souk.local.standins.google import GoogleError

Resource = Literal["channels", "playlistItems", "videos"]
T = TypeVar("T")

MOST_IDS = 50
_DEFAULT_RESULTS = 5
_EVERYWHERE = frozenset({"key", "part", "maxResults", "pageToken", "fields", "prettyPrint", "alt", "hl"})
_FILTERS: Mapping[Resource, tuple[str, ...]] = {
    "channels": ("forHandle", "id"),
    "playlistItems": ("id", "playlistId"),
    "videos": ("id",),
}
# The parts that the API documents; those that the catalogue says nothing of are left out of the answer.
_PARTS: Mapping[Resource, frozenset[str]] = {
    "channels": frozenset(
        {
            *("auditDetails", "brandingSettings", "contentDetails", "contentOwnerDetails", "id"),
            *("localizations", "snippet", "statistics", "status", "topicDetails"),
        }
    ),
    "playlistItems": frozenset({"contentDetails", "id", "snippet", "status"}),
    "videos": frozenset(
        {
            *("contentDetails", "fileDetails", "id", "liveStreamingDetails", "localizations"),
            *("paidProductPlacementDetails", "player", "processingDetails", "recordingDetails", "snippet"),
            *("statistics", "status", "suggestions", "topicDetails"),
        }
    ),
}
_TOKEN = re.compile(r"PT:(\d{1,9})", re.ASCII)


def parts_of(resource: Resource, query: Mapping[str, str]) -> frozenset[str]:
    allowed = _EVERYWHERE.union(_FILTERS[resource])
    for name in query:
        if name not in allowed:
            raise google.unknown_parameter(name)
    asked = frozenset(filter(None, query.get("part", "").split(",")))
    if not asked:
        raise google.parameter("part", "Required parameter: part", "required")
    for part in sorted(asked - _PARTS[resource]):
        raise GoogleError(400, f"'{part}'", "unknownPart", "youtube.part", "part")
    return asked


def filter_of(resource: Resource, query: Mapping[str, str]) -> str:
    """The one filter that a call must name."""
    names = _FILTERS[resource]
    given = [name for name in names if query.get(name)]
    if not given:
        raise google.parameter(
            "parameters.",
            f"No filter selected. Expected one of: {', '.join(names)}",
            "missingRequiredParameter",
        )
    if len(given) > 1:
        raise google.parameter(
            "parameters.",
            f"Incompatible parameters specified in the request: {', '.join(given)}",
            "incompatibleParameters",
        )
    return given[0]


def ids_of(text: str) -> list[str]:
    """At most fifty; one that is named twice is answered once."""
    ids = text.split(",")
    if len(ids) > MOST_IDS:
        raise google.parameter(
            "parameters.", "The request specifies an invalid filter parameter.", "invalidFilters"
        )
    return list(dict.fromkeys(ids))


def size_of(query: Mapping[str, str]) -> int:
    text = query.get("maxResults", str(_DEFAULT_RESULTS))
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and int(text) <= MOST_IDS):
        raise google.parameter(
            "maxResults",
            f"Invalid value '{text}'. Values must be within the range: [0, {MOST_IDS}]",
            "invalidParameter",
        )
    return int(text)


def page_of(found: list[T], query: Mapping[str, str], size: int) -> tuple[list[T], dict[str, str]]:
    """The page that the token names, and the tokens of its neighbours."""
    start = _start(query.get("pageToken", ""))
    turn = {}
    if size and start + size < len(found):
        turn["nextPageToken"] = _token(start + size)
    if size and start:
        turn["prevPageToken"] = _token(max(0, start - size))
    return found[start : start + size], turn


def _token(start: int) -> str:
    return base64.urlsafe_b64encode(f"PT:{start}".encode()).decode().rstrip("=")


def _start(token: str) -> int:
    if not token:
        return 0
    try:
        found = _TOKEN.fullmatch(base64.urlsafe_b64decode(token + "==").decode())
    except (binascii.Error, ValueError):
        found = None
    if found is None:
        raise google.parameter(
            "pageToken", "The request specifies an invalid page token.", "invalidPageToken"
        )
    return int(found[1])
