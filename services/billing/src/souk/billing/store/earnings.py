"""What participations have earned, as it is read."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, case, func, select

from souk.billing.domain.books import Kind
from souk.billing.store.tables import account, entry, item, participation, posting
from souk.billing.store.tenants import of_either
from souk.chassis.auth import Principal
from souk.chassis.sets import among
from souk.chassis.work import Work

_ITEM_COUNTS = ("posts", "views", "likes", "comments", "shares", "clicks", "conversions")


def visible_to(who: Principal, campaign: UUID | None = None, influencer: UUID | None = None) -> Select[Any]:
    """Earnings with their counted posts and metrics in full, whether or not cap or budget let them earn."""
    t, counts = participation.c, _counts()
    query = (
        select(participation, account.c.currency, *(counts.c[name] for name in _ITEM_COUNTS))
        .join(account, account.c.id == t.campaign_id)
        .join(counts, counts.c.of == t.id, isouter=True)
        .where(of_either(who, t.campaign_id, t.influencer_id), account.c.version > 0)
    )
    if campaign is not None:
        query = query.where(t.campaign_id == campaign)
    if influencer is not None:
        query = query.where(t.influencer_id == influencer)
    return query


def _counts() -> Any:
    """Of one participation, beside each row: a page's worth of sums, never those of all."""
    t = item.c
    of_post = t.kind == int(Kind.POST)

    def total(column: Any, condition: Any) -> Any:
        return func.coalesce(func.sum(case((condition, column))), 0)

    return (
        select(
            t.participation_id.label("of"),
            func.count(case((of_post, 1))).label("posts"),
            total(t.views, of_post).label("views"),
            total(t.likes, of_post).label("likes"),
            total(t.comments, of_post).label("comments"),
            total(t.shares, of_post).label("shares"),
            total(t.units, t.kind == int(Kind.LINK)).label("clicks"),
            func.count(case((t.kind == int(Kind.CONVERSION), 1))).label("conversions"),
        )
        .where(t.participation_id == participation.c.id, t.folded, t.active)
        .group_by(t.participation_id)
        .correlate(participation)
        .lateral("counts")
    )


def items_of(participation_id: UUID) -> Select[Any]:
    return select(item).where(item.c.participation_id == participation_id, item.c.folded)


def entries_of(participation_id: UUID) -> Select[Any]:
    return select(entry).where(entry.c.participation_id == participation_id)


async def legs_of(work: Work, entries: list[int]) -> list[Row[Any]]:
    query = select(posting).where(among(posting.c.entry_id, entries)).order_by(posting.c.id)
    return list(await work.fetch_all(query))
