"""Raw clicks: the one topic of plain events."""

from typing import Literal
from uuid import UUID

from souk.contracts.state import State
from souk.contracts.topic import KEPT_30_DAYS, Topic


class Click(State):
    """A click on a tracking link, as the redirect saw it; immutable, its version is 1.

    `changed_at` is the click's time. The visitor is a keyed hash of address and agent, never the
    address itself; verdicts are tracking's and not here.
    """

    link_id: UUID
    campaign_id: UUID
    participation_id: UUID
    visitor: str
    agent: Literal["browser", "bot"]
    referrer: str | None = None
    """Host of the referring page."""


CLICKS = Topic(
    name="tracking.clicks.v1",
    owner="tracking",
    state=Click,
    events=("click.happened",),
    readers=frozenset({"tracking"}),
    data_class="public",
    partition_by="campaign_id",
    description="Raw click events of the redirect.",
    config=KEPT_30_DAYS,
)
