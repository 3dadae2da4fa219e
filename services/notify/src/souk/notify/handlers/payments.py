"""Payments that were made, paid or failed."""

from collections.abc import Sequence

from souk.chassis.work import Work
from souk.contracts.topics.payments import Payment
from souk.notify.domain.changes import changes
from souk.notify.domain.notices import of_payment
from souk.notify.handlers.telling import tell
from souk.notify.store import copies
from souk.notify.store.tables import payment


async def keep_payments(work: Work, payments: Sequence[Payment]) -> None:
    known = await copies.known(work, payment, "status", (one.id for one in payments))
    await tell(
        work,
        [
            notice
            for before, one in changes(payments, known, lambda one: one.status)
            if (notice := of_payment(before, one))
        ],
    )
    await copies.store_payments(work, payments)
