"""Payments and their runs."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row, func, select

from souk.billing.api.staff import staff_only
from souk.billing.domain import payout
from souk.billing.handlers import payments
from souk.billing.store import payments as store
from souk.billing.store.tables import influencer, payment, payment_line, payment_run
from souk.billing.store.tenants import of_influencer
from souk.chassis.amount import Amount
from souk.chassis.auth import Principal, allowed
from souk.chassis.etag import set_etag
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.chassis.problems import Refused
from souk.contracts.reasons import Reason

routes = Routes(prefix="/v1/payments", tags=["payments"])
runs = Routes(prefix="/v1/payment-runs", tags=["payment-runs"])
Viewer = Annotated[Principal, allowed("payment", "view")]
Manager = Annotated[Principal, allowed("payment", "manage")]
Status = Literal["reviewing", "paid", "failed"]

MOST_SETTLED_AT_ONCE = 500


class Line(BaseModel):
    """What a payment pays for one participation, of what was owed for it."""

    campaign_id: UUID
    participation_id: UUID
    owed: Amount
    amount: Amount


class PaymentOut(BaseModel):
    """net = gross - withholding + consumption_tax - fee; carried: owed, but finer than can be paid."""

    id: UUID
    run: date
    influencer_id: UUID
    currency: str
    gross: Amount
    withholding: Amount
    consumption_tax: Amount
    fee: Amount
    net: Amount
    carried: Amount
    status: Status
    paid_at: datetime | None
    failure: str | None
    created_at: datetime


class PaymentWithLines(PaymentOut):
    lines: list[Line]


class Failure(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class Asking(BaseModel):
    """influencer_id: for whom; left out by influencers, who ask for themselves."""

    model_config = ConfigDict(extra="forbid")

    influencer_id: UUID | None = None


class RequestOut(BaseModel):
    id: UUID
    influencer_id: UUID
    requested_at: datetime


class RunAsked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    run: date


class RunOut(BaseModel):
    """payments: by status. finished_at: null while it is under way, or waits."""

    run: date
    cut_off: datetime
    starts_at: datetime
    finished_at: datetime | None
    payments: dict[str, int]


class PaidOut(BaseModel):
    """paid: how many this request has paid. left: how many are still under review; ask again for them."""

    paid: int
    left: int


@routes.get("")
async def list_payments(
    work: WorkDep,
    who: Viewer,
    cursor: CursorDep,
    *,
    run: date | None = None,
    influencer_id: UUID | None = None,
    status: Status | None = None,
) -> Page[PaymentOut]:
    """By run, then id."""
    query = select(payment).where(of_influencer(who, payment.c.influencer_id))
    wanted = {payment.c.run: run, payment.c.influencer_id: influencer_id, payment.c.status: status}
    query = query.where(*(column == value for column, value in wanted.items() if value is not None))
    rows = await work.fetch_all(cursor.over(query, payment.c.run, payment.c.id))
    return cursor.page(rows, _out, keys=lambda row: (row.run, row.id))


@routes.post("/requests", status_code=201, idempotent=True)
async def request_payment(asking: Asking, work: WorkDep, who: Viewer) -> RequestOut:
    """Ask to be paid in the next run. Asking twice is one request; after a cut-off it waits a month."""
    if who.role == "influencer":
        if asking.influencer_id not in (None, who.influencer_id):
            raise Refused(Reason.UNKNOWN_INFLUENCER)
        subject: UUID | None = who.influencer_id
    elif who.role in ("staff", "talent-agency"):
        subject = await work.scalar(
            select(influencer.c.id).where(
                influencer.c.id == asking.influencer_id, of_influencer(who, influencer.c.id)
            )
        )
    else:
        raise Refused(Reason.FORBIDDEN)
    if subject is None:
        raise Refused(Reason.UNKNOWN_INFLUENCER)
    row = await store.request(work, subject)
    return RequestOut(id=row.id, influencer_id=row.influencer_id, requested_at=row.requested_at)


@routes.get("/{payment_id}")
async def get_payment(payment_id: UUID, work: WorkDep, who: Viewer, response: Response) -> PaymentWithLines:
    row = await work.fetch_one(
        select(payment).where(payment.c.id == payment_id, of_influencer(who, payment.c.influencer_id))
    )
    if row is None:
        raise Refused(Reason.UNKNOWN_PAYMENT)
    lines = await work.fetch_all(
        select(payment_line)
        .where(payment_line.c.payment_id == payment_id)
        .order_by(payment_line.c.campaign_id, payment_line.c.participation_id)
    )
    set_etag(response, row.version)
    return PaymentWithLines(
        **_out(row).model_dump(),
        lines=[
            Line(
                campaign_id=line.campaign_id,
                participation_id=line.participation_id,
                owed=line.owed,
                amount=line.amount,
            )
            for line in lines
        ],
    )


@routes.post("/{payment_id}/paid", idempotent=True)
async def mark_paid(payment_id: UUID, work: WorkDep, who: Manager) -> PaymentOut:
    """The bank has paid."""
    return await _settle(work, who, payment_id, "paid")


@routes.post("/{payment_id}/failed", idempotent=True)
async def mark_failed(payment_id: UUID, failure: Failure, work: WorkDep, who: Manager) -> PaymentOut:
    """The bank refused."""
    return await _settle(work, who, payment_id, "failed", failure.reason)


@routes.post("/{payment_id}/corrected", idempotent=True)
async def mark_corrected(payment_id: UUID, work: WorkDep, who: Manager) -> PaymentOut:
    """The bank details are right now: under review again, the same payment."""
    return await _settle(work, who, payment_id, "corrected")


@runs.post("", status_code=202, idempotent=True)
async def start_run(asked: RunAsked, work: WorkDep, who: Manager) -> RunOut:
    """Have a month's run done now, if it wasn't; runs come by themselves on the 5th at 01:00 UTC."""
    staff_only(who)
    await payments.start_run(work, asked.run)
    return await _run(work, asked.run)


@runs.get("/{run}")
async def get_run(run: date, work: WorkDep, who: Viewer) -> RunOut:
    staff_only(who)
    if await work.scalar(select(payment_run.c.run).where(payment_run.c.run == run)) is None:
        raise Refused(Reason.UNKNOWN_PAYMENT_RUN)
    return await _run(work, run)


@runs.post("/{run}/paid", idempotent=True)
async def mark_run_paid(run: date, work: WorkDep, who: Manager) -> PaidOut:
    """The bank has paid the run's payments under review, at most 500 a request."""
    staff_only(who)
    if not await store.is_finished(work, run):
        raise Refused(Reason.UNKNOWN_PAYMENT_RUN)
    rows = await store.lock_reviewing(work, run, MOST_SETTLED_AT_ONCE)
    await payments.settle_payments(work, rows, "paid")
    left = select(func.count()).where(payment.c.run == run, payment.c.status == "reviewing")
    return PaidOut(paid=len(rows), left=int(await work.scalar(left)))


async def _settle(
    work: WorkDep, who: Principal, payment_id: UUID, outcome: payments.Outcome, failure: str | None = None
) -> PaymentOut:
    staff_only(who)
    rows = await store.lock(work, [payment_id])
    if not rows:
        raise Refused(Reason.UNKNOWN_PAYMENT)
    return _out((await payments.settle_payments(work, rows, outcome, failure))[0])


async def _run(work: WorkDep, day: date) -> RunOut:
    run = payout.run_on(day)
    finished = await work.scalar(select(payment_run.c.finished_at).where(payment_run.c.run == day))
    counts = await work.fetch_all(
        select(payment.c.status, func.count().label("n"))
        .where(payment.c.run == day)
        .group_by(payment.c.status)
        .order_by(payment.c.status)
    )
    return RunOut(
        run=day,
        cut_off=run.cut_off,
        starts_at=run.starts_at,
        finished_at=finished,
        payments={row.status: row.n for row in counts},
    )


def _out(row: Row[Any]) -> PaymentOut:
    return PaymentOut(**{name: getattr(row, name) for name in PaymentOut.model_fields})
