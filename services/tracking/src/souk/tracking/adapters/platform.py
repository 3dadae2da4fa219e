"""What tracking asks of a social platform: an account, what it published, and the counts of that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from souk.tracking.domain.metrics import Observation


@dataclass(frozen=True, slots=True)
class Channel:
    """An account as the platform shows it. followers: None when it is hidden."""

    external_id: str
    handle: str
    followers: int | None
    video_count: int | None
    uploads: str


@dataclass(frozen=True, slots=True)
class Upload:
    """A piece of content in an account's list, without its counts."""

    external_id: str
    published_at: datetime


@dataclass(frozen=True, slots=True)
class UploadPage:
    """Newest first; `next` is None on the last page."""

    uploads: tuple[Upload, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Video:
    """url: where people watch it."""

    external_id: str
    url: str
    title: str
    published_at: datetime
    hashtags: tuple[str, ...]
    counts: Observation


class PlatformUnavailableError(Exception):
    """It did not answer, after all tries: ask again later."""


class PlatformRefusedError(Exception):
    """It answered that it won't, and asking again would not help."""


class NotThereError(PlatformRefusedError):
    """What was asked for is not there."""


class QuotaSpentError(Exception):
    """Nothing may be asked until the platform's next day."""


class Platform(Protocol):
    """Every call raises one of the errors above, and none changes anything.

    What is missing from an answer is not in the mapping. ids_a_call: how many may be asked for at most.
    calls_at_once: how many calls may run beside each other.
    """

    ids_a_call: int
    calls_at_once: int

    async def channels(self, ids: Sequence[str]) -> Mapping[str, Channel]: ...

    async def channel_of_handle(self, handle: str) -> Channel | None: ...

    async def uploads(self, playlist: str, page: str | None) -> UploadPage: ...

    async def videos(self, ids: Sequence[str]) -> Mapping[str, Video]: ...
