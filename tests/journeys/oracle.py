"""What campaign A must pay, computed from the file alone: no code of souk is used here."""

import csv
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path

START = datetime(2017, 9, 20, 4, tzinfo=UTC)  # 00:00 in New York
END = datetime(2017, 10, 16, 4, tzinfo=UTC)
APPROVAL = date(2017, 10, 20)  # the last poll before it sees this date's numbers
POSTING, VIEW, LIKE, COMMENT = Fraction(50), Fraction("0.0005"), Fraction("0.01"), Fraction("0.02")
CAP = Fraction(2_500)


@dataclass
class Line:
    video: str
    day: date
    channel: str
    tags: frozenset[str]
    views: int
    likes: int | None
    comments: int | None


@dataclass
class Earning:
    posts: int = 0
    views: int = 0
    likes: int = 0
    comments: int = 0
    worth: Fraction = field(default_factory=Fraction)

    @property
    def revenue(self) -> Fraction:
        return min(CAP, self.worth)

    @property
    def cost_micros(self) -> int:
        """At the default margin: ceil(revenue / 0.67) in micros."""
        return -((-self.revenue * 1_000_000 * 10_000 / 6_700).__floor__())


@dataclass
class Expected:
    read: int
    skipped: Counter[str]
    channels: set[str]
    joined: set[str]
    earnings: dict[str, Earning]


def expected(file: Path, hashtags: frozenset[str]) -> Expected:
    read, skipped, lines = _lines(file)
    by_video: dict[str, dict[date, Line]] = defaultdict(dict)
    for line in lines:
        by_video[line.video][line.day] = line  # the later line of a date replaces the earlier
    first = {video: days[min(days)] for video, days in by_video.items()}
    joined = {line.channel for line in first.values() if line.tags & hashtags}
    earnings: dict[str, Earning] = defaultdict(Earning)
    for video, days in by_video.items():
        line = first[video]
        published = datetime(line.day.year, line.day.month, line.day.day, 12, tzinfo=UTC)
        if line.channel in joined and hashtags <= line.tags and START <= published < END:
            views, likes, comments = _counted(days)
            earning = earnings[line.channel]
            earning.posts += 1
            earning.views += views
            earning.likes += likes
            earning.comments += comments
            earning.worth += POSTING + VIEW * views + LIKE * likes + COMMENT * comments
    return Expected(read, skipped, {line.channel for line in lines}, joined, dict(earnings))


def _counted(days: dict[date, Line]) -> tuple[int, int, int]:
    """The newest numbers on the day of approval; a hidden count keeps what was last shown."""
    views = likes = comments = 0
    for day in sorted(days):
        if day > APPROVAL:
            break
        views = days[day].views
        likes = likes if days[day].likes is None else days[day].likes or 0
        comments = comments if days[day].comments is None else days[day].comments or 0
    return views, likes, comments


def _lines(file: Path) -> tuple[int, Counter[str], list[Line]]:
    read, skipped, kept = 0, Counter[str](), []
    with file.open(encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            read += 1
            day = _day(row["date"] or "")
            if not row["video_id"]:
                skipped["video_id"] += 1
            elif day is None:
                skipped["date"] += 1
            elif _whole(row["views"]) is None:
                skipped["views"] += 1
            else:
                tags = frozenset("".join(tag.split()).lower() for tag in (row["tags"] or "").split("|"))
                views = _whole(row["views"]) or 0
                counts = (views, _whole(row["likes"]), _whole(row["comment_total"]))
                kept.append(Line(row["video_id"], day, row["channel_title"], tags - {""}, *counts))
    return read, skipped, kept


def _day(text: str) -> date | None:
    if re.fullmatch(r"[0-9]{2}\.[0-9]{2}", text):
        day, month = text.split(".")
    elif re.fullmatch(r"[0-9]{1,2}\.1", text):
        day, month = text.removesuffix(".1"), "10"
    else:
        return None
    try:
        return date(2017, int(month), int(day))
    except ValueError:
        return None


def _whole(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"[0-9]+", text) else None
