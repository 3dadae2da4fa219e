"""States of ours that are still on their way."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import delete

from souk.chassis.sets import among
from souk.chassis.tables import outbox
from souk.chassis.work import Work


async def remove(work: Work, ids: Collection[UUID]) -> None:
    """Drop what waits to be told of these; what this unit publishes of them stays."""
    await work.execute(delete(outbox).where(among(outbox.c.key, [str(name).encode() for name in ids])))
