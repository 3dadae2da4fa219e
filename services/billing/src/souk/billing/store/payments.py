"""Payments, their lines, runs and requests."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, exists, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from souk.billing.store.accounts import SETTLES
from souk.billing.store.tables import (
    account,
    influencer,
    participation,
    payee,
    payment,
    payment_line,
    payment_request,
    payment_run,
    posting,
)
from souk.chassis.sets import among
from souk.chassis.tables import timer
from souk.chassis.work import Work


async def start_run(work: Work, run: date, cut_off: datetime, at: datetime) -> None:
    """Nothing when it was started before."""
    values = {"run": run, "cut_off": cut_off, "started_at": at}
    await work.execute(insert(payment_run).values(**values).on_conflict_do_nothing())


async def finish_run(work: Work, run: date, at: datetime) -> None:
    made = select(func.count()).select_from(payment).where(payment.c.run == run).scalar_subquery()
    await work.execute(
        update(payment_run)
        .where(payment_run.c.run == run, payment_run.c.finished_at.is_(None))
        .values(finished_at=at, payments=made)
    )


async def is_finished(work: Work, run: date) -> bool:
    query = select(payment_run.c.run).where(payment_run.c.run == run, payment_run.c.finished_at.is_not(None))
    return await work.scalar(query) is not None


async def is_deciding(work: Work, before: datetime) -> bool:
    """Whether a settlement that was due before that instant is still to be done, or a campaign is behind."""
    due = select(literal(1)).where(timer.c.kind == SETTLES, timer.c.due_at < before)
    behind = select(literal(1)).where(account.c.behind)
    return bool(await work.scalar(select(exists(due) | exists(behind))))


async def lock_payees(work: Work, after: UUID | None, cut_off: datetime, limit: int) -> Sequence[Row[Any]]:
    """The next influencers, by id, who may be paid: payees in automatic mode, and those who asked in time.

    Their rows are locked, so that nothing pays one of them twice at a time. An erased payee has no
    bank account left; what is owed stays owed.
    """
    asked = (
        select(payment_request.c.id)
        .where(
            payment_request.c.influencer_id == payee.c.id,
            payment_request.c.run.is_(None),
            payment_request.c.requested_at < cut_off,
        )
        .exists()
    )
    query = (
        select(
            payee.c.id,
            func.coalesce(payee.c.country, influencer.c.country).label("country"),
            payee.c.consumption_tax_registered,
        )
        .outerjoin(influencer, influencer.c.id == payee.c.id)
        .where(~payee.c.erased, or_(payee.c.payment_mode == "automatic", asked))
        .order_by(payee.c.id)
        .limit(limit)
        .with_for_update(of=payee)
    )
    if after is not None:
        query = query.where(payee.c.id > after)
    return await work.fetch_all(query)


async def owed(work: Work, influencers: Collection[UUID], cut_off: datetime) -> Sequence[Row[Any]]:
    """What is payable to each, by currency and participation, as of `cut_off`; micros.

    Payments made count whenever they were made: a run never pays what another one has paid.
    """
    t = posting.c
    return await work.fetch_all(
        select(
            t.influencer_id,
            t.currency,
            t.owner_id.label("participation_id"),
            participation.c.campaign_id,
            participation.c.joined_at,
            participation.c.arrival,
            (-func.sum(t.amount)).label("owed"),
        )
        .join(participation, participation.c.id == t.owner_id)
        .where(t.account == "payable", among(t.influencer_id, influencers), or_(t.at < cut_off, t.of_payment))
        .group_by(t.influencer_id, t.currency, t.owner_id, participation.c.id)
        .having(func.sum(t.amount) != 0)
        .order_by(t.influencer_id, t.currency, participation.c.joined_at, participation.c.arrival)
    )


async def add(work: Work, payments: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]) -> None:
    await work.execute(insert(payment), list(payments))
    await work.execute(insert(payment_line), list(lines))


async def made_in(work: Work, run: date, influencers: Collection[UUID]) -> set[tuple[UUID, str]]:
    """Influencer and currency of the payments that the run has made already."""
    rows = await work.fetch_all(
        select(payment.c.influencer_id, payment.c.currency).where(
            payment.c.run == run, among(payment.c.influencer_id, influencers)
        )
    )
    return {(row.influencer_id, row.currency) for row in rows}


async def answer_requests(work: Work, run: date, cut_off: datetime, influencers: Collection[UUID]) -> None:
    await work.execute(
        update(payment_request)
        .where(
            among(payment_request.c.influencer_id, influencers),
            payment_request.c.run.is_(None),
            payment_request.c.requested_at < cut_off,
        )
        .values(run=run)
    )


async def request(work: Work, influencer_id: UUID) -> Row[Any]:
    """The influencer's open request, made now unless there is one."""
    await work.execute(
        insert(payment_request)
        .values(id=work.new_id(), influencer_id=influencer_id, requested_at=work.now)
        .on_conflict_do_nothing(
            index_elements=[payment_request.c.influencer_id], index_where=payment_request.c.run.is_(None)
        )
    )
    row = await work.fetch_one(
        select(payment_request).where(
            payment_request.c.influencer_id == influencer_id, payment_request.c.run.is_(None)
        )
    )
    assert row is not None
    return row


async def lock(work: Work, payments: Collection[UUID]) -> Sequence[Row[Any]]:
    query = select(payment).where(among(payment.c.id, payments)).order_by(payment.c.id).with_for_update()
    return await work.fetch_all(query)


async def lock_reviewing(work: Work, run: date, limit: int) -> Sequence[Row[Any]]:
    query = (
        select(payment)
        .where(payment.c.run == run, payment.c.status == "reviewing")
        .order_by(payment.c.id)
        .limit(limit)
        .with_for_update()
    )
    return await work.fetch_all(query)


async def set_status(
    work: Work,
    rows: Sequence[Row[Any]],
    status: str,
    *,
    paid_at: datetime | None = None,
    failure: str | None = None,
) -> Sequence[Row[Any]]:
    """The payments at their new version, by id. Their rows are locked."""
    changed = await work.fetch_all(
        update(payment)
        .where(payment.c.id.in_([row.id for row in rows]))
        .values(
            status=status,
            paid_at=paid_at,
            failure=failure,
            version=payment.c.version + 1,
            changed_at=work.now,
        )
        .returning(payment)
    )
    return sorted(changed, key=lambda row: row.id)


async def page(work: Work, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Payments by id, locked: for publishing them again."""
    query = select(payment).order_by(payment.c.id).limit(limit).with_for_update()
    if after is not None:
        query = query.where(payment.c.id > after)
    return await work.fetch_all(query)
