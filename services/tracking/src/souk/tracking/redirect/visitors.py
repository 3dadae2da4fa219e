"""Who clicked, without knowing who it is: a keyed hash, and whether it is a bot.

The key follows from the secret and the UTC day of the suite's clock, so that a hash tells a visitor of one
day from others and nothing after it. The agents below are a documented list: words that crawlers, link
previews, monitors and HTTP libraries put into their User-Agent, as collected by the IAB/ABC list's public
descriptions, Matomo's device-detector and monperrus/crawler-user-agents; all of them are matched anywhere,
in any case (CUBOT alone is no bot: it makes telephones).

An agent without any of their plain parts, as people's browsers are, is known by one quick search.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b

from souk.tracking.store.sealing import derive

_PLAIN = (
    r"crawl|spider|slurp|scrap|fetch|archiv|monitor|uptime|pingdom|statuscake|preview|embed",
    r"facebookexternalhit|facebookcatalog|meta-external|whatsapp|telegrambot|skypeuri|slack-imgproxy",
    r"googleother|google-|mediapartners|apis-google|feedfetcher|adsbot|lighthouse|pagespeed|bingpreview",
    r"ia_archiver|yandex|baidu|sogou|ahrefs|semrush|mj12|petal|bytespider|claude|gptbot|openai",
    r"headless|phantomjs|selenium|puppeteer|playwright",
    r"curl/|wget/|python|aiohttp|httpx|okhttp|java/|go-http|libwww|lwp|perl|ruby|php/|guzzle|node-fetch|axios",
    r"postman|insomnia|httpie|http_client|http-client|winhttp|scanner|nikto|nmap|zgrab|masscan|validator|checker",
)
_LITTLE = re.compile("|".join(("bot", "duckduck", "electron/", *_PLAIN)))
_BOT = re.compile("|".join((r"(?<!\bcu)bot\b|(?<!\bcu)bot[/_;-]|duckduck.*bot|electron/.*test", *_PLAIN)))
_SHORTEST = 8


@lru_cache(maxsize=8192)
def is_bot(agent: bytes) -> bool:
    """Whether a User-Agent names a machine; one that is missing or hardly there does too."""
    if len(agent) < _SHORTEST:
        return True
    text = agent.decode("latin-1").lower()
    return _LITTLE.search(text) is not None and _BOT.search(text) is not None


class Visitors:
    """Hashes of the visitors of a day."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._day = -1
        self._key = b""

    def hash_of(self, micros: int, address: bytes, agent: bytes) -> str:
        """32 hex digits for this address and agent on the UTC day of `micros` since the epoch."""
        day = micros // 86_400_000_000
        if day != self._day:
            date = datetime.fromtimestamp(day * 86_400, UTC).date()
            self._day, self._key = day, derive(self._secret, f"visitors of {date.isoformat()}")
        return blake2b(address + b"\0" + agent, key=self._key, digest_size=16).hexdigest()


def client_address(forwarded: bytes, peer: bytes, trusted_hops: int) -> bytes:
    """The client's address as the outermost proxy of ours saw it.

    Every proxy appends whom it was asked by to X-Forwarded-For, so the last `trusted_hops` entries were
    written by ours and what stands before them by whoever liked.
    """
    if not trusted_hops or not forwarded:
        return peer
    entries = forwarded.split(b",")
    return entries[-min(trusted_hops, len(entries))].strip()[:64] or peer
