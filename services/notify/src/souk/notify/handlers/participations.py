"""Who takes part: told what was decided about them, and what became of the campaign."""

from collections.abc import Sequence

from souk.chassis.work import Work
from souk.contracts.topics.participations import Participation
from souk.notify.domain.notices import of_participation
from souk.notify.handlers.telling import make, tell
from souk.notify.store import copies, occasions


async def keep_participations(work: Work, participations: Sequence[Participation]) -> None:
    await copies.lock_contacts(work, (one.influencer_id for one in participations))
    await copies.lock_campaigns(work, (one.campaign_id for one in participations))
    changed = sorted(await copies.store_participations(work, participations))
    await tell(work, [notice for one in participations if (notice := of_participation(one))])
    if changed:
        await make(work, occasions.of_participations(changed, work.now))
