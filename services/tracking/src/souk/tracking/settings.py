"""What the tracking service is told by its environment, beyond what every service is."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt, SecretStr, field_validator

from souk.chassis.settings import ServiceSettings

LONGEST_WINDOW_DAYS = 365
"""What a brief may set as `window_days` at most."""


class TrackingSettings(ServiceSettings):
    """A field `x` is SOUK_TRACKING_X, else SOUK_X."""

    service: ClassVar[str] = "tracking"

    secret: Annotated[SecretStr, Field(min_length=16)]
    """Keys of stored tokens and of visitor hashes are derived from it; the same in every process."""
    youtube_url: str = "https://youtube.googleapis.com"
    youtube_key: SecretStr = SecretStr("")
    youtube_quota: PositiveInt = 10_000
    """Units that may be spent in a day of Pacific time."""
    poll: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "12:10"
    """When accounts are polled each day, UTC."""
    click_window_hours: Annotated[int, Field(ge=1, le=24)] = 24
    """A visitor's further clicks on a link within it are duplicates. A day is the most: visitor hashes
    change with the UTC day."""
    clicks_kept_days: Annotated[int, Field(le=3650)] = 400
    """Clicks older than this are deleted; no less than the longest attribution window."""
    snapshots_kept_days: Annotated[int, Field(ge=1, le=3650)] = 400
    """What posts and accounts counted is kept so long as a series; what counts for money stays with them."""
    redirect_listen: str = "127.0.0.1:0"
    spool: Path = Path("spool")
    """Folder of the redirect's clicks that the database has not confirmed, and of its links."""
    trusted_hops: Annotated[int, Field(ge=0, le=10)] = 1
    """Proxies of ours in front of the redirect: that many last entries of X-Forwarded-For are true."""

    @field_validator("clicks_kept_days")
    @classmethod
    def _outlasts_every_window(cls, days: int) -> int:
        if days < LONGEST_WINDOW_DAYS:
            raise ValueError(
                f"must be {LONGEST_WINDOW_DAYS} at least: an order may be credited to a click that long"
                " after it"
            )
        return days
