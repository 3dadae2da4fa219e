"""Referral codes are put into a campaign's pool; joining takes them out (`entries.py`)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row

from souk.chassis.auth import Principal
from souk.chassis.problems import FieldError, Refused
from souk.chassis.work import Work
from souk.contracts.ids import CampaignId
from souk.contracts.reasons import Reason
from souk.influencer.domain.participation import Participation
from souk.influencer.store import campaigns, codes, participations

MOST_CODES = 10_000
WITH_CODES = ("referral", "ecommerce")
"""Without a code nobody can take part in the first; in the second it is one more way to credit an order."""


async def add(
    work: Work,
    who: Principal,
    campaign_id: CampaignId,
    *,
    listed: Sequence[str] | None,
    count: int,
    prefix: str,
) -> Row[Any]:
    """Add the `listed` codes, else `count` made of `prefix` and their place in the pool; the pool.

    Who joined an ecommerce campaign when it had no code left gets one now, the first to join first.
    Raises Refused(unknown_campaign | invalid | code_taken); then none is added.
    """
    campaign = await campaigns.find(work, campaign_id, who)
    if campaign is None:
        raise Refused(Reason.UNKNOWN_CAMPAIGN)
    if campaign.type not in WITH_CODES:
        raise _invalid("/campaign_id", "only referral and ecommerce campaigns have codes")
    # Before the pool, as a join locks them; one that is just being changed gets its code with the next ones.
    waiting = await participations.lock_codeless(work, campaign_id, count if listed is None else len(listed))
    pool = await codes.lock_pool(work, campaign_id)
    first = pool.codes + 1
    wanted = [f"{prefix}{n:04d}" for n in range(first, first + count)] if listed is None else list(listed)
    if pool.codes + len(wanted) > MOST_CODES:
        raise _invalid("/codes" if listed else "/count", f"a campaign has at most {MOST_CODES} codes")
    added = await codes.add(work, campaign_id, campaign.advertiser_id, pool.codes, wanted)
    taken = [
        FieldError(pointer=f"/codes/{n}" if listed else "/prefix", detail=f"{code} is in use")
        for n, code in enumerate(wanted)
        if code not in added or code in wanted[:n]
    ]
    if taken:
        raise Refused(Reason.CODE_TAKEN, errors=taken)
    await _serve(work, campaign_id, waiting)
    return await codes.lock_pool(work, campaign_id)


async def _serve(work: Work, campaign_id: CampaignId, waiting: Sequence[Participation]) -> None:
    given = await codes.take(work, campaign_id, [one.id for one in waiting])
    served = [
        replace(one, referral_code=given[one.id], version=one.version + 1, changed_at=work.now)
        for one in waiting
        if one.id in given
    ]
    await participations.save(work, served)
    work.publish("participation.changed", *map(participations.state_of, served))


def _invalid(pointer: str, detail: str) -> Refused:
    return Refused(Reason.INVALID, errors=[FieldError(pointer=pointer, detail=detail)])
