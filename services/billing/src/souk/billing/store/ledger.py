"""The ledger's writes: entries with their legs by COPY, balances beside them."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Row, func, select, text

from souk.billing.domain.ledger import RULE_VERSION, LedgerAccount, Leg
from souk.billing.store.sets import columns, from_arrays
from souk.billing.store.tables import balance
from souk.chassis.prepared import Prepared
from souk.chassis.work import Work

_NEXT_IDS = Prepared(text("SELECT nextval('entry_id') AS id FROM generate_series(1, CAST(:n AS int))"))
_ENTRY = ("id", "kind", "campaign_id", "participation_id", "influencer_id", "item_id", "payment_id",
          "currency", "at", "recorded_at", "topic", "subject", "subject_version", "event", "rule_version",
          "inputs")  # fmt: skip
_POSTING = ("entry_id", "account", "owner_id", "influencer_id", "currency", "amount", "at", "of_payment")
_BALANCE = ("account", "owner_id", "currency", "amount", "postings")
_ADD_TO_BALANCES = from_arrays(
    "INSERT INTO balance AS b ({names}) SELECT {names} FROM {source} r ORDER BY account, owner_id, currency "
    "ON CONFLICT (account, owner_id, currency) "
    "DO UPDATE SET amount = b.amount + excluded.amount, postings = b.postings + excluded.postings",
    balance,
    _BALANCE,
)


class Movement(NamedTuple):
    """An entry as it is written: legs with their owners, which sum to zero, and why."""

    kind: str
    legs: Sequence[tuple[Leg, UUID]]
    currency: str
    at: datetime
    topic: str
    subject: UUID
    version: int
    event: str
    inputs: dict[str, Any]
    influencer_id: UUID
    campaign_id: UUID | None = None
    participation_id: UUID | None = None
    item_id: UUID | None = None
    payment_id: UUID | None = None


class Journal:
    """Writes movements in their order, part by part: `draw_up` is Python's work, `write` PostgreSQL's.

    `write` takes what was drawn up since the last one, `close` the balances of all. The database refuses legs
    that don't sum to zero.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._entries: list[tuple[Any, ...]] = []
        self._postings: list[tuple[Any, ...]] = []
        self._changes: defaultdict[tuple[LedgerAccount, UUID, str], list[int]] = defaultdict(lambda: [0, 0])

    async def draw_up(self, movements: Sequence[Movement]) -> None:
        now = self._work.now
        for entry_id, m in zip(await self._new_ids(len(movements)), movements, strict=True):
            self._entries.append(
                (
                    entry_id, m.kind, m.campaign_id, m.participation_id, m.influencer_id, m.item_id,
                    m.payment_id, m.currency, m.at, now, m.topic, m.subject, m.version, m.event, RULE_VERSION,
                    to_json(m.inputs).decode(),
                )
            )  # fmt: skip
            of_payment = m.kind == "payment"
            for (account, amount), owner in m.legs:
                self._postings.append(
                    (entry_id, account, owner, m.influencer_id, m.currency, amount, m.at, of_payment)
                )
                change = self._changes[account, owner, m.currency]
                change[0] += amount
                change[1] += 1

    async def _new_ids(self, count: int) -> Sequence[int]:
        return sorted(row.id for row in await self._work.run(_NEXT_IDS, {"n": count})) if count else []

    async def write(self) -> None:
        entries, postings = self._entries, self._postings
        self._entries, self._postings = [], []
        if not entries:
            return
        driver = (await self._work.connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.copy_records_to_table("entry", records=entries, columns=_ENTRY)
        await driver.copy_records_to_table("posting", records=postings, columns=_POSTING)

    async def close(self) -> None:
        rows = [(*key, *change) for key, change in self._changes.items()]
        self._changes.clear()
        if rows:
            await self._work.run(_ADD_TO_BALANCES, columns(_BALANCE, rows))


async def append(work: Work, movements: Sequence[Movement]) -> None:
    """Write `movements` in their order, all at once."""
    journal = Journal(work)
    await journal.draw_up(movements)
    await journal.write()
    await journal.close()


async def totals(work: Work) -> Sequence[Row[Any]]:
    """(currency, postings, amount): how many postings there are, and the sum of all balances.

    A batch's legs are added to the balances one by one, whatever they sum to: a sum other than zero is
    money that came from nowhere.
    """
    t = balance.c
    return await work.fetch_all(
        select(t.currency, func.sum(t.postings).label("postings"), func.sum(t.amount).label("amount"))
        .group_by(t.currency)
        .order_by(t.currency)
    )
