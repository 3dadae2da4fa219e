"""Campaigns' terms as billing keeps them, and participations as they are joined."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Row, select, update

from souk.billing.domain.books import Kind
from souk.billing.store.books import PARTICIPATION
from souk.billing.store.sets import from_arrays
from souk.billing.store.tables import account, item, participation
from souk.chassis.sets import among
from souk.chassis.work import Work

_TOLD = ("id", "campaign_id", "influencer_id", "source_version", "joined_at", "commission", "followers_base")
_KEEP_PARTICIPATIONS = from_arrays(
    "INSERT INTO participation ({names}, arrival, changed_at) "
    "SELECT {names}, nextval('arrival'), :now FROM {source} r "
    "ON CONFLICT (id) DO UPDATE SET source_version = excluded.source_version, "
    "commission = excluded.commission, followers_base = excluded.followers_base",
    participation,
    _TOLD,
    now=DateTime(timezone=True),
)

SETTLES = "campaign.settles"
"""The timer of a campaign's settlement."""


async def set_terms(work: Work, campaign: UUID, values: Mapping[str, Any]) -> None:
    await work.execute(update(account).where(account.c.id == campaign).values(**values))


async def keep_participations(work: Work, rows: Sequence[Mapping[str, Any]]) -> dict[UUID, Row[Any] | None]:
    """Insert or update joined participations that are newer; those that were, with what they were before.

    rows: in the order of arrival, one for each id. Their campaigns' accounts are locked.
    """
    ids = [row["id"] for row in rows]
    found = await work.fetch_all(select(participation).where(among(participation.c.id, ids)))
    before = {row.id: row for row in found}
    newer = [
        row
        for row in rows
        if row["id"] not in before or before[row["id"]].source_version < row["source_version"]
    ]
    if newer:
        values = {name: [row[name] for row in newer] for name in _TOLD}
        await work.run(_KEEP_PARTICIPATIONS, {**values, "now": work.now})
    return {row["id"]: before.get(row["id"]) for row in newer}


async def set_behind(work: Work, campaigns: Collection[UUID], *, behind: bool) -> None:
    await work.execute(update(account).where(among(account.c.id, campaigns)).values(behind=behind))


async def unsettle(work: Work, campaigns: Collection[UUID]) -> None:
    """The campaigns go on: their links earn again, and what was approved of them stays payable."""
    ids = list(campaigns)
    await work.execute(update(account).where(among(account.c.id, ids)).values(settled_at=None))
    await work.execute(
        update(item)
        .where(among(item.c.campaign_id, ids), item.c.kind == int(Kind.LINK), item.c.approved_at.is_not(None))
        .values(approved_at=None)
    )


async def settle(work: Work, campaign: UUID, at: datetime) -> None:
    await work.execute(
        update(account).where(account.c.id == campaign, account.c.settled_at.is_(None)).values(settled_at=at)
    )


async def page_of_accounts(work: Work, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Opened accounts by id, locked: for publishing them again."""
    query = select(account).where(account.c.version > 0).order_by(account.c.id).limit(limit).with_for_update()
    if after is not None:
        query = query.where(account.c.id > after)
    return await work.fetch_all(query)


async def page_of_participations(work: Work, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Participations with a published earning by id, locked: `PARTICIPATION` and what else it tells."""
    query = (
        select(*PARTICIPATION, participation.c.changed_at, account.c.currency)
        .join(account, account.c.id == participation.c.campaign_id)
        .where(participation.c.version > 0)
        .order_by(participation.c.id)
        .limit(limit)
        .with_for_update(of=participation)
    )
    if after is not None:
        query = query.where(participation.c.id > after)
    return await work.fetch_all(query)
