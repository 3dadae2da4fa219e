"""Social accounts, never their tokens."""

from uuid import UUID

from souk.contracts.state import Instant, State
from souk.contracts.topic import Topic
from souk.contracts.topics.campaigns import Connection, Count, Platform


class Account(State):
    """An influencer's account on a platform."""

    influencer_id: UUID
    platform: Platform
    external_id: str
    """The platform's own id: a YouTube channel id."""
    handle: str
    followers: Count | None = None
    """None when the platform hides it."""
    usual_likes: Count | None = None
    """Median likes of up to 20 newest posts, None below five."""
    connection: Connection
    connected_at: Instant | None = None


ACCOUNTS = Topic(
    name="tracking.accounts.v1",
    owner="tracking",
    state=Account,
    events=("account.connected", "account.changed", "account.disconnected"),
    readers=frozenset({"influencer", "billing"}),
    data_class="public",
    partition_by="influencer_id",
    description="Followers, usual engagement and connection of social accounts.",
)
