"""What else of a person lies in this database: records on their way, and records that could not be read."""

from uuid import UUID

from sqlalchemy import LargeBinary, bindparam, cast, delete, func, or_

from souk.chassis.tables import outbox, parked
from souk.chassis.work import Work
from souk.contracts.topics.contacts import CONTACTS
from souk.contracts.topics.influencers import INFLUENCERS
from souk.contracts.topics.payees import PAYEES


async def forget_pending(work: Work, person: UUID) -> None:
    """Delete states of `person` that are not sent yet (newer ones follow) and records that name them."""
    key = str(person).encode()
    await work.execute(
        delete(outbox).where(
            outbox.c.key == key, outbox.c.topic.in_([INFLUENCERS.name, CONTACTS.name, PAYEES.name])
        )
    )
    named = cast(bindparam("person", key), LargeBinary)
    await work.execute(
        delete(parked).where(or_(parked.c.key == key, func.position(named.op("IN")(parked.c.value)) > 0))
    )
