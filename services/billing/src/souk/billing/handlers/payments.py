"""Payment runs, and what becomes of the payments they made (domain.md §6)."""

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Row

from souk.billing.domain import ledger, payout
from souk.billing.store import payments as store
from souk.billing.store.ledger import Movement, append
from souk.chassis.problems import Refused
from souk.chassis.timers import Job
from souk.chassis.work import Work
from souk.contracts.ids import InfluencerId, payment_id
from souk.contracts.reasons import Reason
from souk.contracts.topics.campaigns import CAMPAIGNS
from souk.contracts.topics.conversions import CONVERSIONS
from souk.contracts.topics.influencers import INFLUENCERS
from souk.contracts.topics.links import LINKS
from souk.contracts.topics.participations import PARTICIPATIONS
from souk.contracts.topics.payees import PAYEES
from souk.contracts.topics.payments import PAYMENTS, Payment
from souk.contracts.topics.posts import POSTS
from souk.contracts.topics.terms import TERMS

Outcome = Literal["paid", "failed", "corrected"]
_STEPS: dict[Outcome, tuple[str, str]] = {
    "paid": ("reviewing", "paid"),
    "failed": ("reviewing", "failed"),
    "corrected": ("failed", "reviewing"),
}
RUNS = "payments.run"
CHUNK = 500
_OLDEST = timedelta(days=366)


async def run_payments(job: Job) -> None:
    """Pay what was payable before the run's cut-off; one payment per influencer and currency.

    Killed at any point it starts again: who has the run's payment already is passed over, and payments
    made are debited from what is owed at once.
    """
    run = payout.run_on(date.fromisoformat(job.timer.subject))
    await job.barrier(CAMPAIGNS, TERMS, INFLUENCERS, PAYEES, PARTICIPATIONS, POSTS, LINKS, CONVERSIONS)
    await _all_decided(job, run)
    after: UUID | None = None
    while True:
        async with job.units.begin() as work:
            await store.start_run(work, run.date, run.cut_off, job.timer.due_at)
            payees = await store.lock_payees(work, after, run.cut_off, CHUNK)
            await _pay(work, run, payees)
            if len(payees) < CHUNK:
                await store.finish_run(work, run.date, work.now)
                if not await store.is_finished(work, run.next().date):
                    schedule_run(work, run.next())
                await job.done(work)
                return
            after = payees[-1].id


def schedule_run(work: Work, run: payout.Run) -> None:
    work.schedule(RUNS, run.date.isoformat(), run.starts_at)


async def start_run(work: Work, day: date) -> payout.Run:
    """Have the run of `day` done, unless it was; the next ones come by themselves.

    Raises Refused(invalid) for a day that is no 5th or lies more than a year back, Refused(too_early)
    before 01:00 UTC of it.
    """
    try:
        run = payout.run_on(day)
    except ValueError as error:
        raise Refused(Reason.INVALID, str(error)) from None
    if day < work.now.date() - _OLDEST:
        raise Refused(Reason.INVALID, "the run lies more than a year back")
    if work.now < run.starts_at:
        raise Refused(Reason.TOO_EARLY, f"the run starts at {run.starts_at.isoformat()}")
    if not await store.is_finished(work, day):
        schedule_run(work, run)
    return run


async def settle_payments(
    work: Work, rows: Sequence[Row[Any]], outcome: Outcome, failure: str | None = None
) -> Sequence[Row[Any]]:
    """Bring locked payments to `outcome`: paid, failed or corrected. Those that are there stay as they are.

    Raises Refused(payment_settled) when one was paid, Refused(wrong_state) when one isn't in the state
    from which the outcome is reached; nothing is changed then.
    """
    source, target = _STEPS[outcome]
    for row in rows:
        if row.status not in (source, target):
            reason = Reason.PAYMENT_SETTLED if row.status == "paid" else Reason.WRONG_STATE
            raise Refused(reason, f"the payment is {row.status}", payment_id=str(row.id))
    moving = [row for row in rows if row.status == source]
    if not moving:
        return rows
    changed = await store.set_status(
        work, moving, target, paid_at=work.now if outcome == "paid" else None, failure=failure
    )
    if outcome == "paid":
        await append(work, [_paid(work, row) for row in changed])
    work.publish(f"payment.{outcome}", *(payment_state(row) for row in changed))
    fresh = {row.id: row for row in changed}
    return [fresh.get(row.id, row) for row in rows]


def payment_state(row: Row[Any]) -> Payment:
    return Payment(
        id=row.id,
        version=row.version,
        changed_at=row.changed_at,
        influencer_id=row.influencer_id,
        run=row.run,
        currency=row.currency,
        gross=row.gross,
        withholding=row.withholding,
        consumption_tax=row.consumption_tax,
        fee=row.fee,
        net=row.net,
        status=row.status,
        paid_at=row.paid_at,
        failure=row.failure,
    )


async def _all_decided(job: Job, run: payout.Run) -> None:
    """Wait for the settlements that were due before the cut-off, and for campaigns that are behind: what
    they approve belongs to the run.

    Raises TimeoutError after a minute; the run is then tried again.
    """
    async with asyncio.timeout(60):
        while True:
            async with job.units.begin(read_only=True) as work:
                if not await store.is_deciding(work, run.cut_off):
                    return
            await asyncio.sleep(0.1)


async def _pay(work: Work, run: payout.Run, payees: Sequence[Row[Any]]) -> None:
    by_id = {row.id: row for row in payees}
    if not by_id:
        return
    made = await store.made_in(work, run.date, by_id)
    payments: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    movements: list[Movement] = []
    owed = await store.owed(work, by_id, run.cut_off)
    for (influencer, currency), group in groupby(owed, key=lambda row: (row.influencer_id, row.currency)):
        parts = list(group)
        payee = by_id[influencer]
        total = sum(part.owed for part in parts)
        paid = payout.payout(int(total), currency, payee.country, registered=payee.consumption_tax_registered)
        if paid is None or (influencer, currency) in made:
            continue
        new = _payment(work, run, payee, currency, paid, carried=int(total) - paid.gross)
        amounts = payout.shares([int(part.owed) for part in parts], paid.gross, currency)
        payments.append(new)
        lines += [
            {
                "payment_id": new["id"],
                "participation_id": part.participation_id,
                "campaign_id": part.campaign_id,
                "owed": int(part.owed),
                "amount": amount,
            }
            for part, amount in zip(parts, amounts, strict=True)
        ]
        taken: list[tuple[ledger.Leg, UUID]] = [
            (("payable", amount), part.participation_id)
            for part, amount in zip(parts, amounts, strict=True)
            if amount
        ]
        movements.append(_made(run, new, paid, taken))
    if payments:
        await store.add(work, payments, lines)
        await append(work, movements)
        rows = await store.lock(work, [new["id"] for new in payments])
        await store.answer_requests(work, run.date, run.cut_off, {new["influencer_id"] for new in payments})
        work.publish("payment.made", *(payment_state(row) for row in rows))


def _payment(
    work: Work, run: payout.Run, payee: Row[Any], currency: str, paid: payout.Payout, *, carried: int
) -> dict[str, Any]:
    return {
        "id": payment_id(run.date, InfluencerId(payee.id), currency),
        "version": 1,
        "run": run.date,
        "influencer_id": payee.id,
        "currency": currency,
        "country": payee.country,
        "gross": paid.gross,
        "withholding": paid.withholding,
        "consumption_tax": paid.consumption_tax,
        "fee": paid.fee,
        "net": paid.net,
        "carried": carried,
        "status": "reviewing",
        "created_at": work.now,
        "changed_at": work.now,
    }


def _made(
    run: payout.Run, new: dict[str, Any], paid: payout.Payout, taken: Sequence[tuple[ledger.Leg, UUID]]
) -> Movement:
    own = ledger.payment(paid.withholding, paid.consumption_tax, paid.fee, paid.net)
    return Movement(
        kind="payment",
        legs=[*taken, *((leg, new["influencer_id"]) for leg in own)],
        currency=new["currency"],
        at=run.starts_at,
        topic=PAYMENTS.name,
        subject=new["id"],
        version=1,
        event="payment.made",
        inputs={
            "run": run.date.isoformat(),
            "cut_off": run.cut_off.isoformat(),
            "country": new["country"],
            "owed": paid.gross + new["carried"],
            "carried": new["carried"],
        },
        influencer_id=new["influencer_id"],
        payment_id=new["id"],
    )


def _paid(work: Work, row: Row[Any]) -> Movement:
    return Movement(
        kind="payout",
        legs=[(leg, row.influencer_id) for leg in ledger.payout(row.net)],
        currency=row.currency,
        at=work.now,
        topic=PAYMENTS.name,
        subject=row.id,
        version=row.version,
        event="payment.paid",
        inputs={"net": row.net},
        influencer_id=row.influencer_id,
        payment_id=row.id,
    )
