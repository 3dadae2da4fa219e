"""What a campaign pays, and who takes part: the parts without which no fact can be valued."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Row

from souk.billing.domain.accrual import raise_budget
from souk.billing.domain.books import Cause, fee_id
from souk.billing.domain.folding import fold_followers, raise_cap, revalue
from souk.billing.handlers.accruals import take_waiting
from souk.billing.handlers.batch import open_batch
from souk.billing.store import accounts
from souk.billing.store import books as store
from souk.billing.store.accounts import SETTLES
from souk.chassis.work import Work
from souk.contracts.state import State
from souk.contracts.topics.campaigns import CAMPAIGNS, Campaign
from souk.contracts.topics.participations import PARTICIPATIONS, Participation
from souk.contracts.topics.terms import Terms

S = TypeVar("S", bound=State)


async def take_campaigns(work: Work, states: Sequence[Campaign]) -> None:
    """Take over new terms. What is fixed since the approval stays; budget and cap may rise."""
    newest = _newest(states)
    rows = await store.lock(work, newest)
    raised: dict[UUID, tuple[Campaign, Row[Any]]] = {}
    for key, state in newest.items():
        row = rows[key]
        if row.campaign_version >= state.version:
            continue
        await accounts.set_terms(work, key, _terms_of(state, opened=row.version > 0))
        if row.version > 0:
            raised[key] = (state, row)
            if row.settled_at is None or _is_extended(state, row):
                _schedule_settlement(work, key, state.ends_at, state.hold_days)
    extended = {key for key, (state, row) in raised.items() if _is_extended(state, row)}
    if extended:
        await accounts.unsettle(work, extended)
    await _raise(work, raised)
    await _open(work, rows)


async def take_terms(work: Work, states: Sequence[Terms]) -> None:
    """Margins. Ours is fixed once the account is open; the agency's is no part of any amount here."""
    newest = _newest(states)
    rows = await store.lock(work, newest)
    for key, state in newest.items():
        if rows[key].terms_version >= state.version:
            continue
        values: dict[str, Any] = {"terms_version": state.version, "agency_margin": state.agency_margin}
        if rows[key].version == 0:
            values["margin"] = state.margin
        await accounts.set_terms(work, key, values)
    await _open(work, rows)


async def take_participations(work: Work, states: Sequence[Participation]) -> None:
    """Whoever joined can earn, from then on for ever: withdrawing keeps what is earned."""
    joined = {key: state for key, state in _newest(states).items() if state.joined_at is not None}
    if not joined:
        return
    await store.lock(work, {state.campaign_id for state in joined.values()})
    before = await accounts.keep_participations(
        work,
        [
            {
                "id": key,
                "campaign_id": state.campaign_id,
                "influencer_id": state.influencer_id,
                "source_version": state.version,
                "joined_at": state.joined_at,
                "commission": state.commission,
                "followers_base": state.followers_base,
            }
            for key, state in joined.items()
        ],
    )
    batch = await open_batch(work, {joined[key].campaign_id for key in before})
    new = [key for key, row in before.items() if row is None and joined[key].campaign_id in batch.books]
    if new:
        await take_waiting(work, {joined[key].campaign_id for key in new}, new)
    changed = [
        joined[key] for key, row in before.items() if row is not None and _pays_otherwise(joined[key], row)
    ]
    await _revalue(work, changed)


async def _revalue(work: Work, states: Sequence[Participation]) -> None:
    """A creator's own rate or follower base came or changed: conversions and fee follow; frozen ones stay."""
    if not states:
        return
    ids = [state.id for state in states]
    batch = await open_batch(work, {state.campaign_id for state in states})
    batch.take_participations(await store.participations(work, ids))
    conversions = await store.conversions(work, ids)
    batch.take_items(conversions)
    batch.take_items(item for item, folded in await store.items(work, [fee_id(key) for key in ids]) if folded)
    await batch.load_capped(ids)
    for state in states:
        books = batch.books.get(state.campaign_id)
        if books is None:
            continue
        participation = books.participations[state.id]
        cause = Cause(PARTICIPATIONS.name, state.id, state.version, "participation.changed", state.changed_at)
        for item in conversions:
            if item.fact.participation_id == state.id and item.approved_at is None:
                batch.post(books, revalue(books, participation, item, cause, released=False))
        batch.post(books, fold_followers(books, participation, cause, released=False))
    await batch.save()


async def _raise(work: Work, raised: dict[UUID, tuple[Campaign, Row[Any]]]) -> None:
    if not raised:
        return
    batch = await open_batch(work, raised)
    for key, (state, row) in raised.items():
        books = batch.books[key]
        if state.budget_version > row.budget_version and (state.budget or 0) > row.budget:
            raise_budget(books.purse, state.budget or 0)
            batch.budget_versions[key] = state.budget_version
        if row.cap is not None and (state.cap is None or state.cap > row.cap):
            batch.take_participations(await store.capped_participations(work, key))
            await batch.load_capped(books.participations.keys())
            cause = Cause(CAMPAIGNS.name, key, state.version, "campaign.raised", state.changed_at)
            batch.post(books, raise_cap(books, state.cap, cause))
    await batch.save()


async def _open(work: Work, before: dict[UUID, Row[Any]]) -> None:
    """Open the accounts that have all their parts now, and fold what waited for them."""
    batch = await open_batch(work, [key for key, row in before.items() if row.version == 0])
    for key in batch.books:
        row = batch.accounts[key]
        _schedule_settlement(work, key, row.ends_at, row.hold_days)
    if batch.books:
        await batch.save()
        await take_waiting(work, batch.books.keys())


def _terms_of(state: Campaign, *, opened: bool) -> dict[str, Any]:
    values: dict[str, Any] = {
        "campaign_version": state.version,
        "advertiser_id": state.advertiser_id,
        "agency_id": state.agency_id,
        "ends_at": state.ends_at,
        "hold_days": state.hold_days,
        "multi_posting": state.multi_posting,
    }
    if not opened:
        values |= {
            "approved": state.lifecycle == "approved" and state.currency is not None,
            "terms_needed": state.terms_version,
            "currency": state.currency,
            "rates": state.rates.model_dump(),
            "cap": state.cap,
            "budget": state.budget or 0,
            "budget_version": state.budget_version,
        }
    return values


def _schedule_settlement(work: Work, campaign: UUID, ends_at: datetime | None, hold_days: int) -> None:
    if ends_at is not None:
        work.schedule(SETTLES, campaign, ends_at + timedelta(days=hold_days))


def _is_extended(state: Campaign, row: Row[Any]) -> bool:
    if row.settled_at is None or state.ends_at is None:
        return False
    return bool(state.ends_at + timedelta(days=state.hold_days) > row.settled_at)


def _pays_otherwise(state: Participation, row: Row[Any]) -> bool:
    return bool(state.commission != row.commission or state.followers_base != row.followers_base)


def _newest(states: Sequence[S]) -> dict[UUID, S]:
    newest: dict[UUID, S] = {}
    for state in states:
        if state.id not in newest or newest[state.id].version < state.version:
            newest[state.id] = state
    return newest
