"""The YouTube of the demo: a file of daily trending lines, read as channels, videos and their numbers.

Rules: a line is kept unless its video id is empty, its date is no date, or its views are no whole number.
Dates are `DD.MM` of 2017, or `DD.MM.YYYY`; `D.1` and `DD.1` are October, a trailing zero lost. A video is
published at 12:00 UTC of the first date of its kept lines; from 12:00 UTC of a date its numbers are those of
its line of that date.
"""

import csv
import hashlib
import re
from base64 import urlsafe_b64encode
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cached_property
from pathlib import Path
from typing import Literal

from souk.local.errors import StackError

SkipReason = Literal["video_id", "date", "views"]
COLUMNS = (
    *("video_id", "title", "channel_title", "category_id", "tags"),
    *("views", "likes", "comment_total", "date"),
)
NOON = time(12, tzinfo=UTC)
# In the repository the data lie beside `src`, in a wheel in the package.
_PLACES = (Path(__file__).parents[4] / "data", Path(__file__).parents[1] / "data")
PACKAGED = next(filter(Path.is_dir, _PLACES), _PLACES[1]) / "youtube_trending_us_2017.csv"

_WHOLE = re.compile(r"\d+", re.ASCII)
_DATE = re.compile(r"(\d\d)\.(\d\d)(?:\.(\d{4}))?", re.ASCII)
_OCTOBER = re.compile(r"(\d{1,2})\.1", re.ASCII)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Cumulative counts of a video; None is a hidden count."""

    views: int
    likes: int | None
    comments: int | None


@dataclass(frozen=True, slots=True)
class Video:
    """dates and numbers run side by side, oldest first."""

    id: str
    title: str
    channel: str
    category: str
    tags: tuple[str, ...]
    dates: tuple[datetime, ...]
    numbers: tuple[Numbers, ...]

    @property
    def published_at(self) -> datetime:
        return self.dates[0]

    @property
    def hashtags(self) -> frozenset[str]:
        """Tags in lower case without blanks."""
        return frozenset("".join(tag.split()).lower() for tag in self.tags) - {""}

    def at(self, instant: datetime) -> Numbers | None:
        """What the platform shows at `instant`; None before the publication."""
        known = bisect_right(self.dates, instant)
        return self.numbers[known - 1] if known else None


@dataclass(frozen=True)
class Catalogue:
    """channels: titles in the order of the file, exactly as spelled. videos: by publication, then id."""

    read: int
    skipped: Mapping[SkipReason, int]
    channels: Sequence[str]
    videos: Sequence[Video]

    @cached_property
    def by_id(self) -> Mapping[str, Video]:
        return {video.id: video for video in self.videos}

    @cached_property
    def by_channel(self) -> Mapping[str, Sequence[Video]]:
        """Videos of each channel title, oldest first; a channel may have none."""
        found: dict[str, list[Video]] = {channel: [] for channel in self.channels}
        for video in self.videos:
            found[video.channel].append(video)
        return found


@dataclass(frozen=True, slots=True)
class _Line:
    day: date
    row: Mapping[str, str]
    numbers: Numbers


def channel_id(title: str) -> str:
    """A channel's id, of YouTube's form: `UC` and 22 characters."""
    digest = hashlib.sha256(title.encode()).digest()[:16]
    return "UC" + urlsafe_b64encode(digest).decode().rstrip("=")


def read(file: Path = PACKAGED) -> Catalogue:
    """Raises StackError when the file isn't there, isn't UTF-8 or lacks a column."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text, restval="")
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise StackError(f"{file} lacks {', '.join(missing)}: give a file of trending videos.")
            return _catalogue(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StackError(f"{file} can't be read as CSV in UTF-8: {error}.") from error


def _catalogue(rows: Iterable[Mapping[str, str]]) -> Catalogue:
    count = 0
    skipped: Counter[SkipReason] = Counter()
    channels: dict[str, None] = {}
    lines: dict[str, dict[date, _Line]] = {}
    for count, row in enumerate(rows, start=1):  # noqa: B007 - the last number is how many there were
        line = _kept(row)
        if isinstance(line, _Line):
            channels.setdefault(row["channel_title"])
            # Of two lines of one date the later in the file counts.
            lines.setdefault(row["video_id"], {})[line.day] = line
        else:
            skipped[line] += 1
    videos = sorted(
        (_video(video, [days[day] for day in sorted(days)]) for video, days in lines.items()),
        key=lambda video: (video.published_at, video.id),
    )
    return Catalogue(read=count, skipped=dict(skipped), channels=tuple(channels), videos=tuple(videos))


def _kept(row: Mapping[str, str]) -> _Line | SkipReason:
    if not row["video_id"]:
        return "video_id"
    day = _day(row["date"])
    if day is None:
        return "date"
    views = _whole(row["views"])
    if views is None:
        return "views"
    return _Line(day, row, Numbers(views, _whole(row["likes"]), _whole(row["comment_total"])))


def _video(video: str, lines: Sequence[_Line]) -> Video:
    first = lines[0].row
    return Video(
        id=video,
        title=first["title"],
        channel=first["channel_title"],
        category=first["category_id"],
        tags=tuple(tag for tag in first["tags"].split("|") if tag),
        dates=tuple(datetime.combine(line.day, NOON) for line in lines),
        numbers=tuple(line.numbers for line in lines),
    )


def _day(text: str) -> date | None:
    if found := _DATE.fullmatch(text):
        day, month, year = int(found[1]), int(found[2]), int(found[3] or 2017)
    elif found := _OCTOBER.fullmatch(text):
        day, month, year = int(found[1]), 10, 2017
    else:
        return None
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _whole(text: str) -> int | None:
    return int(text) if _WHOLE.fullmatch(text) else None
