"""Influencers want in, or are put in: joins, applications, forced joins, chosen accounts, approvals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from souk.chassis.auth import Principal
from souk.chassis.problems import Refused
from souk.chassis.work import Work
from souk.contracts.ids import CampaignId, InfluencerId, ParticipationId
from souk.contracts.reasons import Reason
from souk.influencer.domain.eligibility import Filter, Judgement, Profile, judge
from souk.influencer.domain.participation import (
    Entrance,
    Entry,
    Participation,
    Step,
    closed_to_entries,
    could,
    enter,
    move,
    needs_account,
    stepped,
)
from souk.influencer.handlers.codes import WITH_CODES
from souk.influencer.store import accounts, campaigns, codes, decisions, influencers, participations
from souk.influencer.store.decisions import Decision, Effect


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one influencer's wish: the participation, or why there is none (yet).

    failed: the filters that don't hold, when the reason is `not_eligible`. refusal: what was decided, when
    the rule found the reason; it is on record.
    """

    influencer_id: InfluencerId
    participation: Participation | None
    reason: Reason | None = None
    failed: tuple[Filter, ...] = ()
    refusal: Decision | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One influencer at the door of one campaign, everything of theirs read and locked."""

    campaign: Row[Any]
    person: Row[Any]
    profile: Profile
    current: Participation
    judgement: Judgement


class IneligibleError(Refused):
    """Refused for what the rule found. The decision is on record, so the unit of work is to be committed."""

    def __init__(self, reason: Reason, failed: Sequence[Filter]) -> None:
        # That there is a closed campaign is told to nobody whom it is closed to.
        super().__init__(reason)
        if reason is Reason.NOT_ELIGIBLE:
            self.extensions["failed"] = list(failed)


def participation_of(outcome: Outcome) -> Participation:
    """Raises Refused with the outcome's reason."""
    if outcome.participation is not None and outcome.reason is None:
        return outcome.participation
    reason = outcome.reason or Reason.UNKNOWN_INFLUENCER
    if outcome.refusal is not None:
        raise IneligibleError(reason, outcome.failed)
    raise Refused(reason)


async def enter_campaign(
    work: Work,
    who: Principal,
    campaign_id: CampaignId,
    wanting: Sequence[InfluencerId],
    entry: Entry,
    *,
    requested: UUID | None = None,
) -> list[Outcome]:
    """Let each of `wanting` in by the rules; outcomes, and referral codes, in their order.

    requested: the account to take part with. Raises Refused(unknown_campaign).
    """
    people = await influencers.lock_many(work, wanting, who)
    campaign = (await campaigns.hold(work, [campaign_id])).get(campaign_id)
    if campaign is None or (campaign.lifecycle == "draft" and who.role != "staff"):
        raise Refused(Reason.UNKNOWN_CAMPAIGN)
    taking_part = await participations.lock_of(work, campaign_id, wanting)
    owned = await accounts.of_influencers(work, list(people))
    if requested is not None and all(one.id != requested for those in owned.values() for one in those):
        raise Refused(Reason.UNKNOWN_ACCOUNT)
    doors = {
        i: _candidate(
            work,
            campaign,
            people[i],
            accounts.profile_of(people[i], owned[i]),
            taking_part.get(i) or could(campaign_id, i, work.now),
        )
        for i in dict.fromkeys(wanting)
        if i in people
    }

    def decide(at: Candidate) -> Step | Reason | None:
        forced = entry == "force" or (entry == "choose" and at.current.forced)
        return enter(
            at.current.state,
            entry,
            Entrance(
                status=campaigns.status_of(campaign, work.now),
                is_open=campaign.opens_at is None or work.now >= campaign.opens_at,
                joins_at_once=forced or campaign.approval_mode == "auto",
                needs_account=needs_account(campaign.type, track_posts=campaign.track_posts),
                judgement=at.judgement,
                requested=requested,
            ),
        )

    outcomes = await _let_in(work, list(doors.values()), decide, forced=entry == "force")
    by_person = {outcome.influencer_id: outcome for outcome in outcomes}
    return [by_person.get(i) or Outcome(i, None, Reason.UNKNOWN_INFLUENCER) for i in wanting]


async def approve(
    work: Work, who: Principal, ids: Sequence[ParticipationId]
) -> list[tuple[ParticipationId, Outcome | None]]:
    """Join those who applied, in the order of `ids`; None for those who aren't the caller's."""
    seen = await participations.find_many(work, ids, who)
    people = await influencers.lock_many(work, [one.influencer_id for one in seen.values()], None)
    running = await campaigns.hold(work, {one.campaign_id for one in seen.values()})
    locked = await participations.lock_many(work, list(seen))
    owned = await accounts.of_influencers(work, list(people))
    doors = [
        _candidate(
            work,
            running[one.campaign_id],
            people[one.influencer_id],
            accounts.profile_of(people[one.influencer_id], owned[one.influencer_id]),
            one,
        )
        for i in dict.fromkeys(ids)
        if (one := locked.get(i)) is not None and one.influencer_id in people
    ]

    def decide(at: Candidate) -> Step | Reason | None:
        step = move(at.current.state, "approve")
        if not isinstance(step, Step):
            return step
        if refusal := closed_to_entries(campaigns.status_of(at.campaign, work.now)):
            return refusal
        return step if at.judgement.eligible else Reason.NOT_ELIGIBLE

    outcomes = await _let_in(work, doors, decide, forced=False)
    by_id = dict(zip((door.current.id for door in doors), outcomes, strict=True))
    return [(i, by_id.get(i)) for i in ids]


def _candidate(
    work: Work, campaign: Row[Any], person: Row[Any], profile: Profile, current: Participation
) -> Candidate:
    judgement = judge(campaigns.brief_of(campaign), profile, work.now.date())
    return Candidate(campaign, person, profile, current, judgement)


async def _let_in(
    work: Work,
    doors: Sequence[Candidate],
    decide: Callable[[Candidate], Step | Reason | None],
    *,
    forced: bool,
) -> list[Outcome]:
    """Decide on each, give codes to those who join, save, record why and publish."""
    steps = [decide(door) for door in doors]
    given = await _give_codes(work, doors, steps)
    outcomes: list[Outcome] = []
    kept: list[Decision] = []
    changed: dict[str, list[Participation]] = {}
    for door, step in zip(doors, steps, strict=True):
        outcome = _outcome(work, door, step, given)
        if isinstance(step, Step) and outcome.participation is not None and outcome.reason is None:
            into = replace(outcome.participation, forced=forced or door.current.forced)
            outcome = replace(outcome, participation=into)
            changed.setdefault(step.event, []).append(into)
            if (effect := _effect(step, into)) is not None:
                kept.append(_decision(work, door, effect))
        elif outcome.refusal is not None:
            kept.append(outcome.refusal)
        outcomes.append(outcome)
    await participations.save(work, [one for those in changed.values() for one in those])
    await decisions.record(work, kept)
    for event, those in changed.items():
        work.publish(event, *map(participations.state_of, those))
    return outcomes


async def _give_codes(
    work: Work, doors: Sequence[Candidate], steps: Sequence[Step | Reason | None]
) -> Mapping[ParticipationId, str]:
    takers: dict[CampaignId, list[ParticipationId]] = {}
    for door, step in zip(doors, steps, strict=True):
        if isinstance(step, Step) and step.state == "joined" and door.campaign.type in WITH_CODES:
            takers.setdefault(door.current.campaign_id, []).append(door.current.id)
    given: dict[ParticipationId, str] = {}
    for campaign_id in sorted(takers):
        given |= await codes.take(work, campaign_id, takers[campaign_id])
    return given


def _outcome(
    work: Work, door: Candidate, step: Step | Reason | None, given: Mapping[ParticipationId, str]
) -> Outcome:
    person, current = door.current.influencer_id, door.current
    if step is None:
        return Outcome(person, current)
    if isinstance(step, Reason):
        refused = step in (Reason.NOT_ELIGIBLE, Reason.CLOSED_CAMPAIGN)
        return Outcome(
            person,
            None,
            step,
            door.judgement.failed if step is Reason.NOT_ELIGIBLE else (),
            _decision(work, door, "refused") if refused else None,
        )
    joins = step.state == "joined"
    if joins and door.campaign.type == "referral" and current.id not in given:
        return Outcome(person, None, Reason.NO_CODES_LEFT)
    chosen = current.account_id if step.account is None else step.account.id
    base = _followers(door.profile, chosen) if joins and door.campaign.based_at is not None else None
    return Outcome(person, stepped(current, step, work.now, code=given.get(current.id), base=base))


def _followers(profile: Profile, account_id: UUID | None) -> int | None:
    """Joined after the start: the base is what the account has now (domain.md §6)."""
    return next((account.followers for account in profile.accounts if account.id == account_id), None)


def _effect(step: Step, into: Participation) -> Effect | None:
    if into.forced:
        return "forced"
    effects: dict[str, Effect] = {"applied": "applied", "joined": "joined"}
    return effects.get(step.state)


def _decision(work: Work, door: Candidate, effect: Effect) -> Decision:
    return Decision(
        door.current.campaign_id,
        door.current.influencer_id,
        effect,
        work.now,
        door.judgement.failed,
        decisions.inputs_of(door.campaign, door.person.version, door.profile, work.now),
    )
