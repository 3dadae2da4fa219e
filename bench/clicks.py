"""Links that lead on, and clicks on them: what the workloads about the redirect share."""

import random
from typing import Any

import httpx
import load
import published
from harness import until
from place import Place

from souk.contracts.topics.campaigns import CAMPAIGNS
from souk.contracts.topics.participations import PARTICIPATIONS
from souk.contracts.topics.terms import TERMS
from souk.local.suite import REDIRECT

_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0 v/{n}"


async def open_links(place: Place, campaigns: int, people: int) -> list[Any]:
    """Rows `slug`, `participation_id` of every link, once the redirect knows them all."""
    chance = random.Random(1)
    briefs = [published.brief(chance, people, type="url") for _ in range(campaigns)]
    await place.publish(CAMPAIGNS, [one.campaign for one in briefs])
    await place.publish(TERMS, [one.terms for one in briefs])
    await place.publish(PARTICIPATIONS, [who for one in briefs for who in one.participations])
    async with place.connected("tracking") as connection:

        async def made() -> bool:
            count: int = await connection.fetchval("SELECT count(*) FROM link WHERE slug IS NOT NULL")
            return count == campaigns * people

        await until(made, every=0.05)
        rows: list[Any] = await connection.fetch("SELECT slug, participation_id FROM link ORDER BY slug")
    url = f"http://127.0.0.1:{place.port(REDIRECT)}"
    async with httpx.AsyncClient(base_url=url) as client:

        async def all_lead_on() -> bool:
            # A HEAD is no click.
            answers = [await client.head(f"/r/{row['slug']}") for row in rows]
            return all(answer.status_code == httpx.codes.FOUND for answer in answers)

        await until(all_lead_on, every=0.1)
    return rows


def requests(rows: list[Any]) -> list[bytes]:
    """A GET of each link; every visitor is another."""
    headers = {
        "user-agent": _AGENT,
        "x-forwarded-for": "203.0.113.7",
        "accept": "text/html,application/xhtml+xml",
        "referer": "https://blog.example/spring",
    }
    return [load.request("GET", f"/r/{row['slug']}", headers) for row in rows]
