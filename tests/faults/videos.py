"""Years of videos whose counts rise, are taken away again and grow late; the same for the same seed."""

import csv
import random
from datetime import date, timedelta
from pathlib import Path

from souk.local.standins.catalogue import COLUMNS

HASHTAGS = ("alpha", "beta", "gamma")
_DAYS_FOLLOWED = 16
_EVERY_DAYS = 5


def channels(number: int) -> list[str]:
    return [f"Maker {n}" for n in range(1, number + 1)]


def write(path: Path, makers: int, chance: random.Random, years: int = 1) -> Path:
    """A file that the stand-in of YouTube serves: each maker publishes every few days from 2017 on."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for maker in channels(makers):
            day = date(2017, 1, 1) + timedelta(days=chance.randrange(_EVERY_DAYS))
            number = 0
            while day.year < 2017 + years:
                number += 1
                writer.writerows(_life(maker, f"{maker.replace(' ', '')}-{number}", day, chance))
                day += timedelta(days=chance.randint(_EVERY_DAYS - 2, _EVERY_DAYS + 2))
    return path


def _life(maker: str, video: str, published: date, chance: random.Random) -> list[list[object]]:
    """A line a day; one in three takes counts away."""
    views = chance.randint(100, 5_000)
    lines: list[list[object]] = []
    for age in range(_DAYS_FOLLOWED):
        day = published + timedelta(days=age)
        values = {
            "video_id": video,
            "title": f"{video} by {maker}",
            "channel_title": maker,
            "category_id": 23,
            "tags": "|".join(tag.title() for tag in HASHTAGS),
            "views": views,
            "likes": views // chance.randint(20, 200),
            "comment_total": views // 400,
            "date": f"{day.day:02}.{day.month:02}.{day.year}",
        }
        lines.append([values.get(column, "") for column in COLUMNS])
        views += -(views // 5) if chance.random() < 1 / 3 else chance.randint(0, 2_000)
    return lines
