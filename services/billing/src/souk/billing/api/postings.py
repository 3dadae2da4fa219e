"""Postings: the ledger itself, for staff."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Row, select

from souk.billing.api.staff import staff_only
from souk.billing.domain.ledger import LedgerAccount
from souk.billing.store.ledger import totals
from souk.billing.store.tables import entry, posting
from souk.chassis.amount import Amount
from souk.chassis.auth import Principal, allowed
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page

routes = Routes(prefix="/v1/postings", tags=["postings"])
Viewer = Annotated[Principal, allowed("payment", "view")]


class PostingOut(BaseModel):
    """A leg of an entry: a debit is positive, a credit negative; those of one entry sum to zero."""

    id: int
    entry_id: int
    kind: str
    account: str
    owner_id: UUID
    influencer_id: UUID
    campaign_id: UUID | None
    participation_id: UUID | None
    payment_id: UUID | None
    currency: str
    amount: Amount
    at: datetime
    recorded_at: datetime
    event: str
    topic: str
    subject: UUID
    version: int
    rule_version: int
    inputs: dict[str, Any]


class Summary(BaseModel):
    """sum: of all balances, by currency; each is zero, or the ledger is wrong."""

    postings: int
    sum: dict[str, Amount]


@routes.get("/summary")
async def summarise(work: WorkDep, who: Viewer) -> Summary:
    staff_only(who)
    rows = await totals(work)
    return Summary(
        postings=int(sum(row.postings for row in rows)), sum={row.currency: int(row.amount) for row in rows}
    )


@routes.get("")
async def list_postings(
    work: WorkDep,
    who: Viewer,
    cursor: CursorDep,
    *,
    campaign_id: UUID | None = None,
    participation_id: UUID | None = None,
    influencer_id: UUID | None = None,
    payment_id: UUID | None = None,
    account: LedgerAccount | None = None,
    kind: Literal["accrual", "approval", "payment", "payout"] | None = None,
) -> Page[PostingOut]:
    """In the order of their entries."""
    staff_only(who)
    wanted = {
        entry.c.campaign_id: campaign_id,
        entry.c.participation_id: participation_id,
        entry.c.influencer_id: influencer_id,
        entry.c.payment_id: payment_id,
        posting.c.account: account,
        entry.c.kind: kind,
    }
    query = (
        select(
            posting,
            entry.c.kind,
            entry.c.campaign_id,
            entry.c.participation_id,
            entry.c.payment_id,
            entry.c.recorded_at,
            entry.c.event,
            entry.c.topic,
            entry.c.subject,
            entry.c.subject_version,
            entry.c.rule_version,
            entry.c.inputs,
        )
        .join(entry, entry.c.id == posting.c.entry_id)
        .where(*(column == value for column, value in wanted.items() if value is not None))
    )
    query = cursor.over(query, posting.c.entry_id, posting.c.id)
    if cursor.keys is not None:
        # The same bound for the entries' indexes, which a comparison of postings is none for.
        query = query.where(entry.c.id >= cursor.keys[0])
    return cursor.page(await work.fetch_all(query), _out, keys=lambda row: (row.entry_id, row.id))


def _out(row: Row[Any]) -> PostingOut:
    values = dict(row._mapping)
    values["version"] = values.pop("subject_version")
    values.pop("of_payment")
    return PostingOut(**values)
