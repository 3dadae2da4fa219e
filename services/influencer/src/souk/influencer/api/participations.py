"""/v1/participations: joining, applying, and what becomes of it."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, model_validator

from souk.chassis.auth import Principal, allowed
from souk.chassis.etag import IfMatchDep, set_etag
from souk.chassis.http import Routes, TransactionalRoute, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.chassis.percent import ShownPercent
from souk.chassis.problems import Refused, problem_response
from souk.chassis.work import Work
from souk.contracts.ids import CampaignId, InfluencerId, ParticipationId
from souk.contracts.money import BasisPoints
from souk.contracts.reasons import Reason
from souk.contracts.topics.participations import ParticipationState
from souk.influencer.api.fields import Percent
from souk.influencer.api.staff import staff_only
from souk.influencer.domain.participation import Move, Participation
from souk.influencer.handlers import entries, moves
from souk.influencer.handlers.entries import IneligibleError, Outcome
from souk.influencer.store import participations as store
from souk.influencer.store.tables import participation

MOST_IMPORTED = 200
MOST_NAMED = 500
MOST_APPROVED = 2_000
"""In one request by state: everything is read and written in sets."""


class _Answered(APIRoute):
    """Answers a refusal that is on record, instead of raising it: nothing else was written."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_all(request: Request) -> Response:
            try:
                return await answer(request)
            except IneligibleError as refused:
                return problem_response(request, refused)

        return answer_all


class _Route(TransactionalRoute, _Answered):
    """Commits such a refusal's record with its answer, which is then that of its idempotency key."""


routes = Routes(prefix="/v1/participations", tags=["participations"])
routes.route_class = _Route
Viewer = Annotated[Principal, allowed("participation", "view")]
Manager = Annotated[Principal, allowed("participation", "manage")]
_TAKE_PART = ("staff", "talent-agency", "influencer")
_RUN = ("staff", "advertiser", "agency")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JoinIn(_Body):
    """influencer_id: the caller when left out. account_id: needed when several accounts match."""

    campaign_id: UUID
    influencer_id: UUID | None = None
    account_id: UUID | None = None


class ImportIn(_Body):
    campaign_id: UUID
    influencer_ids: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=MOST_IMPORTED)]


class ApproveIn(_Body):
    """Either ids, or a campaign's participations in a state, the longest waiting first."""

    ids: Annotated[tuple[UUID, ...] | None, Field(min_length=1, max_length=MOST_NAMED)] = None
    campaign_id: UUID | None = None
    state: Literal["applied", "reviewing"] = "applied"

    @model_validator(mode="after")
    def _either(self) -> "ApproveIn":
        if (self.ids is None) == (self.campaign_id is None):
            raise ValueError("send either ids or campaign_id")
        return self


class AccountIn(_Body):
    account_id: UUID


class ParticipationEdit(_Body):
    """commission: instead of the campaign's; null takes the campaign's again."""

    commission: Percent | None


class ParticipationOut(BaseModel):
    id: UUID
    version: int
    campaign_id: UUID
    influencer_id: UUID
    state: ParticipationState
    platform: str | None
    account_id: UUID | None
    applied_at: datetime | None
    joined_at: datetime | None
    withdrawn_at: datetime | None
    referral_code: str | None
    commission: ShownPercent | None
    followers_base: int | None

    @classmethod
    def of(cls, one: Participation) -> "ParticipationOut":
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class Result(BaseModel):
    """What came of one of a request's influencers: a state, or the reason why not."""

    influencer_id: UUID | None
    participation_id: UUID | None
    state: ParticipationState | None
    reason: Reason | None = None
    failed: list[str] = []

    @classmethod
    def of(cls, outcome: Outcome) -> "Result":
        one = outcome.participation
        return cls(
            influencer_id=outcome.influencer_id,
            participation_id=None if one is None else one.id,
            state=None if one is None else one.state,
            reason=outcome.reason,
            failed=list(outcome.failed),
        )


class Results(BaseModel):
    items: list[Result]


class Approvals(Results):
    """more: whether some in that state are left for another request."""

    more: bool


@routes.post("", status_code=201, idempotent=True)
async def join_campaign(body: JoinIn, work: WorkDep, who: Manager, response: Response) -> ParticipationOut:
    """Join, or apply where applications are approved by hand. Twice is one participation."""
    _only(who, _TAKE_PART)
    person = body.influencer_id or who.influencer_id
    if person is None:
        raise Refused(Reason.UNKNOWN_INFLUENCER, "say who is to take part")
    [outcome] = await entries.enter_campaign(
        work, who, CampaignId(body.campaign_id), [InfluencerId(person)], "join", requested=body.account_id
    )
    return _shown(entries.participation_of(outcome), response)


@routes.post("/import", idempotent=True)
async def import_participations(body: ImportIn, work: WorkDep, who: Manager) -> Results:
    """As if each had joined, in the order given; refusals are results, not problems."""
    return await _many(body, work, who, "join")


@routes.post("/force", idempotent=True)
async def force_participations(body: ImportIn, work: WorkDep, who: Manager) -> Results:
    """Join them at once, whatever the approval mode; who must choose an account waits."""
    return await _many(body, work, who, "force")


@routes.post("/approve", idempotent=True)
async def approve_participations(body: ApproveIn, work: WorkDep, who: Manager) -> Approvals:
    _only(who, _RUN)
    more = False
    if body.campaign_id is not None:
        ids = await store.ids_in_state(work, body.campaign_id, body.state, MOST_APPROVED + 1, who)
        more, ids = len(ids) > MOST_APPROVED, ids[:MOST_APPROVED]
    else:
        ids = [ParticipationId(one) for one in body.ids or ()]
    return Approvals(
        items=[
            Result(influencer_id=None, participation_id=i, state=None, reason=Reason.UNKNOWN_PARTICIPATION)
            if outcome is None
            else Result.of(outcome).model_copy(update={"participation_id": i})
            for i, outcome in await entries.approve(work, who, ids)
        ],
        more=more,
    )


@routes.get("")
async def list_participations(
    work: WorkDep,
    who: Viewer,
    cursor: CursorDep,
    campaign_id: UUID | None = None,
    influencer_id: UUID | None = None,
    state: ParticipationState | None = None,
) -> Page[ParticipationOut]:
    """The oldest first."""
    query = store.listed(who, campaign_id, influencer_id, state)
    rows = await work.fetch_all(cursor.over(query, participation.c.created_at, participation.c.id))
    return cursor.page(
        rows,
        lambda row: ParticipationOut.of(store.of_row(row)),
        lambda row: (row.created_at, row.id),
    )


@routes.get("/{participation_id}")
async def read_participation(
    participation_id: UUID, work: WorkDep, who: Viewer, response: Response
) -> ParticipationOut:
    one = await store.find(work, participation_id, who)
    if one is None:
        raise Refused(Reason.UNKNOWN_PARTICIPATION)
    return _shown(one, response)


@routes.patch("/{participation_id}")
async def edit_participation(
    participation_id: UUID,
    edit: ParticipationEdit,
    work: WorkDep,
    who: Manager,
    expected: IfMatchDep,
    response: Response,
) -> ParticipationOut:
    _only(who, _RUN)
    current = await moves.lock(work, who, ParticipationId(participation_id))
    expected.check(current.version)
    commission = None if edit.commission is None else BasisPoints(edit.commission)
    return _shown(await moves.set_commission(work, current, commission), response)


@routes.post("/{participation_id}/account")
async def choose_account(
    participation_id: UUID, body: AccountIn, work: WorkDep, who: Manager, response: Response
) -> ParticipationOut:
    """Out of `waiting`: with which account to take part."""
    _only(who, _TAKE_PART)
    one = await store.find(work, participation_id, who)
    if one is None:
        raise Refused(Reason.UNKNOWN_PARTICIPATION)
    [outcome] = await entries.enter_campaign(
        work, who, one.campaign_id, [one.influencer_id], "choose", requested=body.account_id
    )
    return _shown(entries.participation_of(outcome), response)


@routes.post("/{participation_id}/approve")
async def approve_participation(
    participation_id: UUID, work: WorkDep, who: Manager, response: Response
) -> ParticipationOut:
    _only(who, _RUN)
    [(_, outcome)] = await entries.approve(work, who, [ParticipationId(participation_id)])
    if outcome is None:
        raise Refused(Reason.UNKNOWN_PARTICIPATION)
    return _shown(entries.participation_of(outcome), response)


@routes.post("/{participation_id}/review")
async def review_participation(
    participation_id: UUID, work: WorkDep, who: Manager, response: Response
) -> ParticipationOut:
    return await _move(work, who, participation_id, "review", response, roles=_RUN)


@routes.post("/{participation_id}/apply")
async def reopen_participation(
    participation_id: UUID, work: WorkDep, who: Manager, response: Response
) -> ParticipationOut:
    """Back to `applied`, from `reviewing` or `rejected`."""
    return await _move(work, who, participation_id, "apply", response, roles=_RUN)


@routes.post("/{participation_id}/reject")
async def reject_participation(
    participation_id: UUID, work: WorkDep, who: Manager, response: Response
) -> ParticipationOut:
    return await _move(work, who, participation_id, "reject", response, roles=_RUN)


@routes.post("/{participation_id}/withdraw")
async def withdraw_participation(
    participation_id: UUID, work: WorkDep, who: Manager, response: Response
) -> ParticipationOut:
    """What is earned is kept; nothing new is counted."""
    return await _move(work, who, participation_id, "withdraw", response, roles=_TAKE_PART)


async def _many(body: ImportIn, work: Work, who: Principal, entry: Literal["join", "force"]) -> Results:
    staff_only(who)
    people = [InfluencerId(one) for one in body.influencer_ids]
    outcomes = await entries.enter_campaign(work, who, CampaignId(body.campaign_id), people, entry)
    return Results(items=[Result.of(outcome) for outcome in outcomes])


async def _move(
    work: Work,
    who: Principal,
    participation_id: UUID,
    asked: Move,
    response: Response,
    *,
    roles: tuple[str, ...],
) -> ParticipationOut:
    _only(who, roles)
    return _shown(await moves.move_one(work, who, ParticipationId(participation_id), asked), response)


def _only(who: Principal, roles: tuple[str, ...]) -> None:
    if who.role not in roles:
        raise Refused(Reason.FORBIDDEN, f"only {', '.join(roles)} may do this")


def _shown(one: Participation, response: Response) -> ParticipationOut:
    set_etag(response, one.version)
    return ParticipationOut.of(one)
