"""Tracking links and their cumulative clicks."""

from uuid import UUID

from souk.contracts.state import Instant, State
from souk.contracts.topic import Topic
from souk.contracts.topics.campaigns import Count


class Link(State):
    """A participation's tracking link; clicks are cumulative, by verdict."""

    campaign_id: UUID
    participation_id: UUID
    influencer_id: UUID
    slug: str
    url: str
    """What is shared; it answers with a redirect to `landing_url`."""
    landing_url: str
    active: bool = True
    """False once the participation is withdrawn: it redirects on, its clicks are not billable."""
    billable: Count = 0
    bot: Count = 0
    duplicate: Count = 0
    outside_period: Count = 0
    reversed: Count = 0
    """Clicks that staff took back; they are no longer among the billable."""
    last_click_at: Instant | None = None


LINKS = Topic(
    name="tracking.links.v1",
    owner="tracking",
    state=Link,
    events=("link.made", "link.clicked", "link.changed"),
    readers=frozenset({"tracking", "billing", "notify"}),
    data_class="public",
    partition_by="campaign_id",
    description="Tracking links with their cumulative clicks by verdict.",
)
