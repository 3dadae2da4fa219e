"""Posts of a campaign, with their latest and their counted metrics."""

from typing import Literal
from uuid import UUID

from souk.contracts.state import Instant, Part, State
from souk.contracts.topic import Topic
from souk.contracts.topics.campaigns import Count, Platform

PostStatus = Literal["effective", "warning", "approved", "ineffective", "pending"]
WarningKind = Literal["ad_fraud", "deleted_post", "invalid_token", "upload_insight", "invalid_content"]


class Metrics(Part):
    """Cumulative counts as a platform shows them; a hidden count keeps its last known value."""

    views: Count = 0
    likes: Count = 0
    comments: Count = 0
    shares: Count = 0


class PostWarning(Part):
    """Why a person should look; solved ones are not raised again for the same cause."""

    kind: WarningKind
    raised_at: Instant
    solved: bool = False


class Post(State):
    """A piece of content that counts, or counted, in a campaign.

    `counted` follows `latest` until the approval, which fixes it: money is made of `counted` alone.
    `pending`: asked to be effective again, billing has not answered (see `earnings.reinstated`).
    """

    campaign_id: UUID
    participation_id: UUID
    influencer_id: UUID
    account_id: UUID
    platform: Platform
    external_id: str
    url: str
    title: str
    published_at: Instant
    found_at: Instant
    status: PostStatus
    counts: bool
    """False for a second live post without multi-posting, until the first is ineffective."""
    counts_since: Instant | None = None
    """When it last began to count; None while it does not."""
    reason: str | None = None
    """Why it is ineffective."""
    warnings: tuple[PostWarning, ...] = ()
    latest: Metrics
    observed_at: Instant
    counted: Metrics
    approved_at: Instant | None = None


POSTS = Topic(
    name="tracking.posts.v1",
    owner="tracking",
    state=Post,
    events=(
        "post.found",
        "post.measured",
        "post.warned",
        "post.solved",
        "post.approved",
        "post.made_ineffective",
        "post.reinstating",
        "post.reinstated",
        "post.changed",
    ),
    readers=frozenset({"billing", "notify"}),
    data_class="public",
    partition_by="campaign_id",
    description="Posts with their state, warnings, latest and counted metrics.",
)
