"""Where pushes may go. An endpoint comes from a browser, so it must not lead into our own network."""

from collections.abc import Set
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

LONGEST_ENDPOINT = 2048
_HTTPS_PORT = 443
_PORTS = {"https": _HTTPS_PORT, "http": 80}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A push service's address taken apart.

    origin: as a VAPID audience names it (RFC 8292 §2). trusted: named in the settings, so that its
    address isn't looked at.
    """

    url: str
    scheme: str
    host: str
    port: int
    origin: str
    trusted: bool


def read_endpoint(url: str, trusted_origins: Set[str]) -> Endpoint | None:
    """`url` as an endpoint, or None when nothing may be sent there.

    Only https on its own port, unless the origin is one of `trusted_origins`.
    """
    if len(url) > LONGEST_ENDPOINT or not url.isascii() or any(c <= " " or c == "\\" for c in url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    if not parts.hostname or parts.username is not None or parts.password is not None:
        return None
    usual = port == _PORTS.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    origin = f"{parts.scheme}://{host}" if usual else f"{parts.scheme}://{host}:{port}"
    trusted = origin in trusted_origins
    if not trusted and not (parts.scheme == "https" and port == _HTTPS_PORT):
        return None
    return Endpoint(url, parts.scheme, parts.hostname, port, origin, trusted)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open Internet: not private, loopback, link-local or multicast."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    found = mapped or found
    return found.is_global and not found.is_multicast
