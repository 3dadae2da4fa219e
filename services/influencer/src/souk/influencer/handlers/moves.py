"""Participations that exist are reviewed, rejected, withdrawn, or get a commission of their own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from souk.chassis.auth import Principal
from souk.chassis.problems import FieldError, Refused
from souk.chassis.work import Work
from souk.contracts.ids import CampaignId, InfluencerId, ParticipationId
from souk.contracts.money import BasisPoints
from souk.contracts.reasons import Reason
from souk.influencer.domain.participation import Move, Participation, Step, could, move, stepped
from souk.influencer.store import campaigns, influencers, participations

Result = tuple[InfluencerId, Participation | Reason]


async def lock(work: Work, who: Principal, participation_id: ParticipationId) -> Participation:
    """Raises Refused(unknown_participation) for what isn't there, isn't the caller's, or is erased."""
    seen = await participations.find(work, participation_id, who)
    if seen is None or not await influencers.lock_many(work, [seen.influencer_id], None):
        raise Refused(Reason.UNKNOWN_PARTICIPATION)
    return (await participations.lock_many(work, [participation_id]))[participation_id]


async def move_one(
    work: Work, who: Principal, participation_id: ParticipationId, asked: Move
) -> Participation:
    """Raises Refused(unknown_participation | wrong_state)."""
    current = await lock(work, who, participation_id)
    step = move(current.state, asked)
    if isinstance(step, Reason):
        raise Refused(step, f"it is {current.state}", state=current.state)
    return current if step is None else (await _take(work, [(current, step)]))[0]


async def select(
    work: Work,
    campaign_id: CampaignId,
    people: Sequence[InfluencerId],
    asked: Literal["deselect", "reselect"],
) -> list[Result]:
    """Take influencers off the selection, or put them back; results in the order of `people`.

    Who acted can't be deselected any more. Raises Refused(unknown_campaign).
    """
    if await campaigns.find(work, campaign_id) is None:
        raise Refused(Reason.UNKNOWN_CAMPAIGN)
    known = await influencers.lock_many(work, people, None)
    there = await participations.lock_of(work, campaign_id, people)
    results: dict[InfluencerId, Participation | Reason] = {}
    steps: list[tuple[Participation, Step]] = []
    for person in dict.fromkeys(people):
        if person not in known:
            results[person] = Reason.UNKNOWN_INFLUENCER
            continue
        current = there.get(person) or could(campaign_id, person, work.now)
        step = move(current.state, asked)
        if isinstance(step, Step):
            steps.append((current, step))
        results[person] = step if isinstance(step, Reason) else current
    results |= {one.influencer_id: one for one in await _take(work, steps)}
    return [(person, results[person]) for person in people]


async def set_commission(work: Work, current: Participation, commission: BasisPoints | None) -> Participation:
    """Raises Refused(invalid) where no orders of a shop are paid for."""
    campaign = await campaigns.find(work, current.campaign_id)
    if campaign is None or campaign.type != "ecommerce":
        error = FieldError(pointer="/commission", detail="only ecommerce campaigns have one per creator")
        raise Refused(Reason.INVALID, errors=[error])
    if commission == current.commission:
        return current
    changed = replace(current, commission=commission, version=current.version + 1, changed_at=work.now)
    await participations.save(work, [changed])
    work.publish("participation.changed", participations.state_of(changed))
    return changed


async def _take(work: Work, steps: Sequence[tuple[Participation, Step]]) -> list[Participation]:
    moved = [(stepped(current, step, work.now), step.event) for current, step in steps]
    await participations.save(work, [one for one, _ in moved])
    for one, event in moved:
        work.publish(event, participations.state_of(one))
    return [one for one, _ in moved]
