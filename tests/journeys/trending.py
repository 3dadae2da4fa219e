"""Small files of trending lines, as dirty as real ones, with counts that fall and grow when it hurts."""

import csv
import random
from datetime import date, timedelta
from pathlib import Path

COLUMNS = (
    *("video_id", "title", "channel_title", "category_id", "tags", "views"),
    *("likes", "dislikes", "comment_total", "thumbnail_link", "date"),
)
FIRST, LAST = date(2017, 9, 13), date(2017, 10, 25)


def write(file: Path, chance: random.Random) -> Path:
    """A file with 25 channels, 120 videos; counts rise, fall after a peak, and grow on after 20 October."""
    rows: list[dict[str, object]] = []
    for number in range(120):
        channel = f"Channel {number % 25}"
        tags = chance.choice(["alpha|Beta|gam ma|x", "ALPHA|other", "beta|gamma|alpha", "none"])
        day = FIRST + timedelta(days=chance.randint(0, 35))
        views, likes, comments = (chance.randint(1, top) for top in (2_000_000, 60_000, 9_000))
        while day <= LAST and chance.random() < 0.93:
            if chance.random() < 0.8:
                rows.append(
                    {
                        "video_id": f"v{number}",
                        "title": f"Video {number}",
                        "channel_title": channel,
                        "tags": tags,
                        "views": views,
                        "likes": "" if chance.random() < 0.1 else likes,
                        "comment_total": "off" if chance.random() < 0.1 else comments,
                        "date": written(day),
                    }
                )
            change = chance.choice([1.4, 1.1, 1.0, 0.8, 0.5])
            views, likes, comments = (max(0, int(count * change)) for count in (views, likes, comments))
            day += timedelta(days=chance.choice([1, 1, 1, 2, 5]))
    chance.shuffle(rows)
    rows += [
        {**rows[0], "video_id": ""},
        {**rows[1], "date": "100"},
        {**rows[2], "date": "31.09"},
        {**rows[3], "views": "many"},
        {**rows[4], "likes": 5},
    ]
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return file


def written(day: date) -> str:
    """As the file writes dates: October loses its trailing zero, single digits their leading one."""
    return f"{day.day}.1" if day.month == 10 else f"{day.day:02d}.09"
