"""`/v1/posts`: posts of campaigns, their metrics over time, and what people decide about them."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Row, func, select

from souk.chassis.auth import Principal, allowed
from souk.chassis.etag import set_etag
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.chassis.problems import Refused
from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.reasons import Reason
from souk.contracts.topics.campaigns import Platform
from souk.contracts.topics.posts import Metrics, PostStatus, PostWarning, WarningKind
from souk.tracking.api.tenants import own_campaign, reaches
from souk.tracking.handlers import posts as handlers
from souk.tracking.store import posts as store
from souk.tracking.store.tables import campaign, post, post_snapshot

routes = Routes(prefix="/v1/posts", tags=["posts"])
Viewer = Annotated[Principal, allowed("post", "view")]
Manager = Annotated[Principal, allowed("post", "manage")]


class PostOut(BaseModel):
    id: UUID
    version: int
    campaign_id: UUID
    participation_id: UUID
    influencer_id: UUID
    account_id: UUID
    platform: Platform
    external_id: str
    url: str
    title: str
    published_at: datetime
    found_at: datetime
    status: PostStatus
    counts: bool
    reason: str | None
    warnings: list[PostWarning]
    latest: Metrics
    observed_at: datetime
    counted: Metrics
    approved_at: datetime | None

    @classmethod
    def of(cls, row: Any) -> "PostOut":
        return cls.model_validate(store.post_state(row), from_attributes=True)


class SnapshotOut(BaseModel):
    observed_at: datetime
    views: int
    likes: int
    comments: int
    shares: int


class MakeIneffective(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class SolveWarning(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: WarningKind


class ApprovePosts(BaseModel):
    """All posts of a campaign in these states, or the named ones."""

    model_config = ConfigDict(extra="forbid")

    campaign_id: UUID | None = None
    statuses: Annotated[list[PostStatus], Field(min_length=1, max_length=2)] = ["effective", "warning"]
    post_ids: Annotated[list[UUID], Field(min_length=1, max_length=handlers.MOST_POSTS)] | None = None

    @model_validator(mode="after")
    def _names_posts(self) -> Self:
        if (self.campaign_id is None) == (self.post_ids is None):
            raise ValueError("name the posts by campaign_id or by post_ids")
        if set(self.statuses) - {"effective", "warning"}:
            raise ValueError("effective and warning posts can be approved")
        return self


class ApprovedOut(BaseModel):
    approved: int
    left: int


@routes.get("")
async def list_posts(
    *,
    work: WorkDep,
    who: Viewer,
    cursor: CursorDep,
    campaign_id: UUID | None = None,
    participation_id: UUID | None = None,
    influencer_id: UUID | None = None,
    status: PostStatus | None = None,
) -> Page[PostOut]:
    query = select(post).where(reaches(who, post))
    for column, value in (
        (post.c.campaign_id, campaign_id),
        (post.c.participation_id, participation_id),
        (post.c.influencer_id, influencer_id),
        (post.c.status, status),
    ):
        if value is not None:
            query = query.where(column == value)
    rows = await work.fetch_all(cursor.over(query, post.c.published_at, post.c.id))
    return cursor.page(rows, PostOut.of, keys=lambda row: (row.published_at, row.id))


@routes.get("/{post_id}")
async def read_post(post_id: UUID, work: WorkDep, who: Viewer, response: Response) -> PostOut:
    row = await _find(work, post_id, who)
    set_etag(response, row.version)
    return PostOut.of(row)


@routes.get("/{post_id}/snapshots")
async def list_snapshots(post_id: UUID, work: WorkDep, who: Viewer, cursor: CursorDep) -> Page[SnapshotOut]:
    await _find(work, post_id, who)
    query = select(post_snapshot).where(post_snapshot.c.post_id == post_id)
    rows = await work.fetch_all(cursor.over(query, post_snapshot.c.observed_at))
    return cursor.page(
        rows,
        lambda row: SnapshotOut.model_validate(row, from_attributes=True),
        keys=lambda row: (row.observed_at,),
    )


@routes.post("/approve")
async def approve_posts(body: ApprovePosts, work: WorkDep, who: Manager) -> ApprovedOut:
    """At most 500 a request. Posts in other states stay as they are; approved ones are approved once."""
    conditions = [among(post.c.status, body.statuses), reaches(who, post)]
    if body.post_ids is not None:
        conditions.append(among(post.c.id, body.post_ids))
    else:
        owned = select(campaign.c.id).where(campaign.c.id == body.campaign_id, own_campaign(who))
        if await work.scalar(owned) is None:
            raise Refused(Reason.UNKNOWN_CAMPAIGN)
        conditions.append(post.c.campaign_id == body.campaign_id)
    approved = await handlers.approve(work, *conditions)
    left = await work.scalar(select(func.count()).where(*conditions))
    return ApprovedOut(approved=len(approved), left=int(left))


@routes.post("/{post_id}/approve")
async def approve_post(post_id: UUID, work: WorkDep, who: Manager, response: Response) -> PostOut:
    await handlers.approve_one(work, await _find(work, post_id, who))
    return await _shown(work, post_id, who, response)


@routes.post("/{post_id}/ineffective")
async def make_post_ineffective(
    post_id: UUID, body: MakeIneffective, work: WorkDep, who: Manager, response: Response
) -> PostOut:
    await handlers.make_ineffective(work, await _find(work, post_id, who), body.reason)
    return await _shown(work, post_id, who, response)


@routes.post("/{post_id}/effective")
async def reinstate_post(post_id: UUID, work: WorkDep, who: Manager, response: Response) -> PostOut:
    """The post is `pending` until billing has said whether the budget holds it."""
    await handlers.ask_to_reinstate(work, await _find(work, post_id, who))
    return await _shown(work, post_id, who, response)


@routes.post("/{post_id}/solve-warning")
async def solve_warning(
    post_id: UUID, body: SolveWarning, work: WorkDep, who: Manager, response: Response
) -> PostOut:
    await handlers.solve(work, await _find(work, post_id, who), body.kind)
    return await _shown(work, post_id, who, response)


async def _find(work: Work, post_id: UUID, who: Principal) -> Row[Any]:
    row = await work.fetch_one(select(post).where(post.c.id == post_id, reaches(who, post)))
    if row is None:
        raise Refused(Reason.UNKNOWN_POST)
    return row


async def _shown(work: Work, post_id: UUID, who: Principal, response: Response) -> PostOut:
    row = await _find(work, post_id, who)
    set_etag(response, row.version)
    return PostOut.of(row)
