"""Making read copies anew from their topics: mends what a fault or a mistaken hand left in them."""

from collections.abc import Collection

from sqlalchemy import update

from souk.chassis import fence
from souk.chassis.intake import Intake
from souk.chassis.work import Units, Work


async def rebuild(units: Units, intake: Intake, topics: Collection[str]) -> dict[str, int]:
    """Have the copies of `topics` written anew from the topics' beginnings; how many rows by topic.

    In one unit the rows lose their versions, so that whatever their topic says replaces them, and the
    topics' positions go back to 0; running workers notice within 5 s. Until its record comes a row keeps
    its content, and counts as not known where that matters. A row that its topic no longer has stays so.
    Raises KeyError for a topic of which the service keeps no copy.
    """

    async def begin_again(work: Work) -> dict[str, int]:
        stored = await fence.positions(work, intake.group)
        mine = [partition for partition in stored if partition.topic in topics]
        held = await fence.lock(work, intake.group, mine)
        await fence.move(
            work, intake.group, {each: fence.Position(at.topic_id, 0) for each, at in held.items()}
        )
        reset: dict[str, int] = {}
        for name in sorted(topics):
            copy = intake.copies[name]
            known = update(copy).where(copy.c.version > 0).values(version=0)
            reset[name] = (await work.execute(known)).rowcount
        return reset

    return await units.insist(begin_again)
