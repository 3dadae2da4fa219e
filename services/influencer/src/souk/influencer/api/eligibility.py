"""/v1/eligibility: may this influencer take part in this campaign, and why (not)."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import select

from souk.chassis.auth import Principal, allowed
from souk.chassis.http import Routes, WorkDep
from souk.chassis.problems import Refused
from souk.contracts.ids import CampaignId, InfluencerId, participation_id
from souk.contracts.reasons import Reason
from souk.influencer.domain.eligibility import RULE_VERSION, judge
from souk.influencer.store import accounts, campaigns, decisions, influencers
from souk.influencer.store.tables import participation

routes = Routes(prefix="/v1/eligibility", tags=["eligibility"])
Viewer = Annotated[Principal, allowed("influencer", "view")]


class DecisionOut(BaseModel):
    effect: str
    decided_at: datetime
    rule_version: int
    failed: list[str]
    inputs: dict[str, Any]


class ExplanationOut(BaseModel):
    """on: the UTC day whose age counts. accounts: those that match. decisions: taken so far, oldest first."""

    campaign_id: UUID
    influencer_id: UUID
    eligible: bool
    rule_version: int
    on: date
    failed: list[str]
    accounts: list[UUID]
    inputs: dict[str, Any]
    decisions: list[DecisionOut]


@routes.get("")
async def explain(campaign_id: UUID, influencer_id: UUID, work: WorkDep, who: Viewer) -> ExplanationOut:
    """Staff and whoever represents the influencer, or runs the campaign and has them taking part."""
    person = await influencers.find(work, influencer_id, who)
    if person is None:
        raise Refused(Reason.UNKNOWN_INFLUENCER)
    runs = who.role in ("advertiser", "agency", "staff")
    campaign = await campaigns.find(work, campaign_id, who if runs else None)
    if campaign is None or (campaign.lifecycle == "draft" and not runs):
        raise Refused(Reason.UNKNOWN_CAMPAIGN)
    owned = await accounts.of_influencers(work, [influencer_id])
    profile = accounts.profile_of(person, owned[influencer_id])
    judgement = judge(campaigns.brief_of(campaign), profile, work.now.date())
    if "closed" in judgement.failed and not runs:
        raise Refused(Reason.CLOSED_CAMPAIGN)
    if not runs and await _is_deselected(work, campaign_id, influencer_id):
        raise Refused(Reason.DESELECTED)
    return ExplanationOut(
        campaign_id=campaign_id,
        influencer_id=influencer_id,
        eligible=judgement.eligible,
        rule_version=RULE_VERSION,
        on=work.now.date(),
        failed=list(judgement.failed),
        accounts=[account.id for account in judgement.accounts],
        inputs=decisions.inputs_of(campaign, person.version, profile, work.now),
        decisions=[
            DecisionOut(
                effect=row.effect,
                decided_at=row.decided_at,
                rule_version=row.rule_version,
                failed=row.failed,
                inputs=row.inputs,
            )
            for row in await decisions.of_pair(work, campaign_id, influencer_id)
        ],
    )


async def _is_deselected(work: WorkDep, campaign_id: UUID, influencer_id: UUID) -> bool:
    own = participation_id(CampaignId(campaign_id), InfluencerId(influencer_id))
    state = await work.scalar(select(participation.c.state).where(participation.c.id == own))
    return bool(state == "unavailable")
