"""Clicks get their verdicts, and links their cumulative counts (domain.md §5)."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from souk.chassis.sets import among
from souk.chassis.work import Work
from souk.contracts.ids import ParticipationId, link_id
from souk.contracts.topics.clicks import Click
from souk.tracking.domain.clicks import Hit, Judged, Period, Verdict, decide, difference
from souk.tracking.store import clicks as store
from souk.tracking.store import copies, links
from souk.tracking.store.tables import click, link

_PAIRS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Keeping:
    """window: in which a visitor's further clicks are duplicates. kept: older clicks are not stored."""

    window: timedelta
    kept: timedelta


async def take_in(work: Work, states: Sequence[Click], keeping: Keeping) -> set[UUID]:
    """Store the clicks of a batch and judge them; the ids of those that are new.

    A click of a link that isn't there yet is kept without a verdict until the link is.
    """
    recent = {state.id: state for state in states if state.changed_at > work.now - keeping.kept}
    if not recent:
        return set()
    await copies.hold_campaigns(work, {state.campaign_id for state in recent.values()})
    placeholders = {
        state.link_id: {
            "id": state.link_id,
            "version": 0,
            "changed_at": work.now,
            "campaign_id": state.campaign_id,
            "participation_id": state.participation_id,
        }
        for state in recent.values()
    }
    await links.hold(work, [placeholders[name] for name in sorted(placeholders)])
    known = await store.known(work, recent)
    new = [state for name, state in sorted(recent.items()) if name not in known]
    await _judge_new(work, new, keeping)
    return {state.id for state in new}


async def _judge_new(work: Work, new: Sequence[Click], keeping: Keeping) -> None:
    """Store clicks with their verdicts, and count them.

    Bots, strays, plain duplicates and whoever had no click to speak of before are judged alone; only else
    are all clicks of the visitor read.
    """
    periods = await _periods(work, {state.link_id for state in new})
    verdicts: dict[UUID, Verdict] = {}
    open_visitors: dict[store.Pair, list[Click]] = defaultdict(list)
    for state in new:
        period = periods.get(state.link_id)
        if period is None:
            continue
        if state.agent == "bot":
            verdicts[state.id] = "bot"
        elif not period.covers(state.changed_at):
            verdicts[state.id] = "outside_period"
        else:
            open_visitors[state.link_id, state.visitor].append(state)
    before: dict[store.Pair, list[Row[Any]]] = defaultdict(list)
    for row in await store.deciding_of_visitors(work, open_visitors):
        before[row.link_id, row.visitor].append(row)
    undecided = set()
    for pair, several in open_visitors.items():
        if pair not in before:
            hits = [Hit(state.id, state.changed_at, bot=False) for state in several]
            verdicts |= decide(hits, periods[pair[0]], keeping.window)
        elif _all_within(several, before[pair], keeping.window):
            verdicts |= {state.id: "duplicate" for state in several}
        else:
            undecided.add(pair)
    await store.insert_new(work, [(state, verdicts.get(state.id)) for state in new])
    deltas: dict[UUID, dict[str, int]] = {}
    for state in new:
        if (verdict := verdicts.get(state.id)) is not None:
            _add(deltas, state.link_id, {verdict: 1})
    await _judge_visitors(work, undecided, periods, keeping.window, deltas)
    await _publish(work, deltas, _last(new))


def _all_within(states: Sequence[Click], before: Sequence[Row[Any]], window: timedelta) -> bool:
    """Whether each lies in a window that a billable click has opened."""
    opened = [row.clicked_at for row in before if row.verdict == "billable"]
    return all(any(at <= state.changed_at < at + window for at in opened) for state in states)


async def _judge_visitors(
    work: Work,
    pairs: Collection[store.Pair],
    periods: dict[UUID, Period],
    window: timedelta,
    deltas: dict[UUID, dict[str, int]],
) -> None:
    """Judge all clicks of these visitors anew; what changes is added to `deltas`."""
    ordered = sorted(pairs)
    for start in range(0, len(ordered), _PAIRS_AT_ONCE):
        groups: dict[store.Pair, list[Row[Any]]] = defaultdict(list)
        for row in await store.of_visitors(work, ordered[start : start + _PAIRS_AT_ONCE]):
            groups[row.link_id, row.visitor].append(row)
        changed: dict[UUID, str] = {}
        for (of, _), rows in groups.items():
            verdicts = decide((Hit(row.id, row.clicked_at, row.bot) for row in rows), periods[of], window)
            changed |= {row.id: verdicts[row.id] for row in rows if row.verdict != verdicts[row.id]}
            before = [Judged(row.verdict, row.reversed) for row in rows]
            _add(deltas, of, difference(before, [Judged(verdicts[row.id], row.reversed) for row in rows]))
        await store.set_verdicts(work, changed)


async def follow_periods(
    work: Work,
    campaigns: Collection[UUID],
    after: store.Pair | None,
    participations: Collection[UUID] | None = None,
    *,
    window: timedelta,
) -> store.Pair | None:
    """Judge anew the clicks whose verdict no longer fits the period of their link, or that had none.

    The campaigns' rows are held. participations: only their links, None for all of the campaigns'. Those
    of 2,000 visitors at once: the one to go on after.
    """
    if participations is None:
        some = among(click.c.campaign_id, campaigns)
    else:
        some = among(click.c.link_id, [link_id(ParticipationId(each)) for each in participations])
    unfit = await store.unfit(work, some, after, _PAIRS_AT_ONCE)
    if not unfit:
        return None
    named = {name for name, _ in unfit}
    await links.lock(work, among(link.c.id, named))
    deltas: dict[UUID, dict[str, int]] = {}
    await _judge_visitors(work, unfit, await _periods(work, named), window, deltas)
    await _publish(work, deltas, {})
    return unfit[-1] if len(unfit) == _PAIRS_AT_ONCE else None


async def reverse(work: Work, rows: Sequence[Row[Any]], *, taken_back: bool) -> int:
    """Take billable clicks back, or give them back; how many changed. Their duplicates stay duplicates."""
    await copies.share_campaigns(work, {row.campaign_id for row in rows})
    await links.lock(work, among(link.c.id, {row.link_id for row in rows}))
    changed = await store.set_reversed(work, {row.id for row in rows}, taken_back)
    deltas: dict[UUID, dict[str, int]] = {}
    for row in changed:
        delta = difference(
            [Judged(row.verdict, reversed=not taken_back)], [Judged(row.verdict, reversed=taken_back)]
        )
        _add(deltas, row.link_id, delta)
    await _publish(work, deltas, {})
    return len(changed)


async def _periods(work: Work, ids: Collection[UUID]) -> dict[UUID, Period]:
    """When the clicks of these links count; a link is left out while its parts are still on their way."""
    rows = await links.periods(work, ids)
    return {row.id: Period(row.starts_at, row.ends_at, row.withdrawn_at) for row in rows}


def _add(deltas: dict[UUID, dict[str, int]], link_id: UUID, delta: Mapping[str, int]) -> None:
    if link_id not in deltas:
        deltas[link_id] = dict.fromkeys(links.COUNTS, 0)
    for name, change in delta.items():
        deltas[link_id][name] += change


def _last(states: Iterable[Click]) -> dict[UUID, datetime]:
    last: dict[UUID, datetime] = {}
    for state in states:
        last[state.link_id] = max(state.changed_at, last.get(state.link_id, state.changed_at))
    return last


async def _publish(work: Work, deltas: dict[UUID, dict[str, int]], last: dict[UUID, datetime]) -> None:
    moved = {name: delta for name, delta in deltas.items() if any(delta.values())}
    for row in await links.add_counts(work, moved, last):
        work.publish("link.clicked", links.link_state(row))
