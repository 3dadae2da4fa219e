"""Slugs of tracking links and where they lead (domain.md §5)."""

from hashlib import sha256
from urllib.parse import urlsplit

from souk.contracts.ids import LinkId

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SLUG_LENGTH = 10
CLICK_PARAMETER = "souk_click"


def slug_of(link: LinkId, attempt: int = 0) -> str:
    """Ten base-62 digits that follow from the link's id; `attempt` counts up when one is taken."""
    number = int.from_bytes(sha256(link.bytes + attempt.to_bytes(4, "big")).digest()[:16], "big")
    digits = []
    for _ in range(SLUG_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(digits)


def landing_parts(url: str) -> tuple[str, str]:
    """`url` in two, between which a click's id goes as the last parameter of its query.

    `https://shop.example/p?a=1#top` gives `https://shop.example/p?a=1&souk_click=` and `#top`.
    """
    head, mark, fragment = url.partition("#")
    separator = "" if head.endswith(("?", "&")) else "&" if "?" in head else "?"
    return f"{head}{separator}{CLICK_PARAMETER}=", mark + fragment


def can_lead_to(url: str | None) -> bool:
    """Whether `url` is an absolute http(s) URL of printable ASCII, fit for a Location header."""
    if not url or len(url) > 4000 or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
