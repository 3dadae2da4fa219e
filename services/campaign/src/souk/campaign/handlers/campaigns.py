"""A campaign from draft to stop: drafted and edited by its tenant, approved by staff."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Row

from souk.campaign.domain import approval, edits
from souk.campaign.domain.brief import Brief, amended, contradictions, people
from souk.campaign.domain.fault import Fault
from souk.campaign.domain.period import today
from souk.campaign.handlers.refusal import refuse_if
from souk.campaign.store import campaigns, organisations, users
from souk.chassis.auth import Principal
from souk.chassis.problems import FieldError, Refused
from souk.chassis.work import Work
from souk.contracts.ids import OrganisationId
from souk.contracts.money import BasisPoints
from souk.contracts.permissions import Role
from souk.contracts.reasons import Reason

CONFIDENTIAL: Mapping[str, frozenset[Role]] = {
    "margin": frozenset({"staff"}),
    "agency_margin": frozenset({"staff", "agency"}),
    "hubspot_deal_id": frozenset({"staff"}),
    "sales_pic_id": frozenset({"staff"}),
    "influencer_pic_id": frozenset({"staff"}),
}
"""Fields that only some roles may see or set."""

_TERMS = ("margin", "agency_margin")


async def draft(work: Work, who: Principal, content: Mapping[str, Any]) -> Row[Any]:
    """content: fields of the brief; an advertiser's own campaign needn't name the advertiser.

    Raises Refused: unknown_organisation, forbidden, invalid, invalid_period.
    """
    _check_confidential(who, content)
    advertiser = content.get("advertiser_id")
    if advertiser is None and who.role == "advertiser":
        advertiser = who.organisation_id
    if advertiser is None:
        raise Refused(
            Reason.INVALID, errors=[FieldError(pointer="/advertiser_id", detail="name the advertiser")]
        )
    start = Brief(advertiser_id=OrganisationId(advertiser), type=content["type"])
    brief = amended(start, {**content, "advertiser_id": advertiser})
    refuse_if(contradictions(brief))
    return await _add(work, who, brief)


async def clone(work: Work, who: Principal, row: Row[Any]) -> Row[Any]:
    """A draft with the same brief, terms included: how other terms come about once one is approved.

    An agency's margin is its own: when another works for the advertiser by now, the clone has none.
    """
    brief = campaigns.brief_of(row)
    if await _agency_of(work, who, brief) != row.agency_id:
        brief = replace(brief, agency_margin=BasisPoints(0))
    return await _add(work, who, brief)


async def edit(work: Work, who: Principal, row: Row[Any], changes: Mapping[str, Any]) -> Row[Any]:
    """The locked row with `changes` merged in (RFC 7396).

    Raises Refused: forbidden, invalid, invalid_period; once approved also fixed_since_approval,
    only_may_rise, start_fixed, finished and incomplete_campaign.
    """
    _check_confidential(who, changes)
    before = campaigns.brief_of(row)
    after = amended(before, changes)
    if after == before:
        return row
    refuse_if(contradictions(after))
    if row.approved_at is not None:
        refuse_if(edits.forbidden(before, after, work.now))
        refuse_if(approval.missing(after))
    await _check_people(work, after)
    values: dict[str, Any] = {}
    if after.advertiser_id != before.advertiser_id:
        values["agency_id"] = await _agency_of(work, who, after)
    if row.approved_at is not None and edits.raises(before, after):
        values["budget_version"] = row.budget_version + 1
    terms_changed = "agency_id" in values or any(
        getattr(before, name) != getattr(after, name) for name in _TERMS
    )
    written = await campaigns.change(work, row, after, terms_changed=terms_changed, **values)
    event = "campaign.changed" if row.approved_at is None else edits.event_of(before, after)
    work.publish(event, campaigns.campaign_state(written))
    if terms_changed:
        work.publish("terms.set", campaigns.terms_state(written))
    return written


async def approve(work: Work, who: Principal, row: Row[Any]) -> Row[Any]:
    """The locked draft, approved: from now on creators can join on its terms.

    The zone that its dates are read in is written down, so that a later release of the zone database
    can't move them. Raises Refused: forbidden, already_approved, incomplete_campaign.
    """
    if who.role != "staff":
        raise Refused(Reason.FORBIDDEN, "campaigns are approved by staff")
    if row.approved_at is not None:
        raise Refused(Reason.ALREADY_APPROVED)
    brief = campaigns.brief_of(row)
    refuse_if([*approval.missing(brief), *approval.over(brief, work.now)])
    await _agency_of(work, who, brief)
    written = await campaigns.change(
        work,
        row,
        replace(brief, time_zone=brief.zone),
        terms_changed=False,
        approved_at=work.now,
        budget_version=1,
    )
    work.publish("campaign.approved", campaigns.campaign_state(written))
    return written


async def stop(work: Work, who: Principal, row: Row[Any]) -> Row[Any]:
    """The locked campaign, ending at the end of today in its zone; as it is when it ends today anyway.

    Raises Refused: not_approved, finished, invalid_period when it hasn't started yet.
    """
    brief = campaigns.brief_of(row)
    if row.approved_at is None or brief.zone is None:
        raise Refused(Reason.NOT_APPROVED)
    if work.now >= row.ends_at:
        raise Refused(Reason.FINISHED)
    return await edit(work, who, row, {"end_date": today(work.now, brief.zone)})


async def _add(work: Work, who: Principal, brief: Brief) -> Row[Any]:
    agency_id = await _agency_of(work, who, brief)
    await _check_people(work, brief)
    row = await campaigns.add(work, brief, agency_id)
    work.publish("campaign.drafted", campaigns.campaign_state(row))
    work.publish("terms.set", campaigns.terms_state(row))
    return row


async def _agency_of(work: Work, who: Principal, brief: Brief) -> OrganisationId | None:
    """The agency of the brief's advertiser, who is active and within the caller's reach."""
    advertiser = await organisations.hold(work, brief.advertiser_id, "advertiser", who)
    if advertiser is None:
        error = FieldError(pointer="/advertiser_id", detail="no active advertiser of yours has this id")
        raise Refused(Reason.UNKNOWN_ORGANISATION, errors=[error])
    return OrganisationId(advertiser.agency_id) if advertiser.agency_id else None


async def _check_people(work: Work, brief: Brief) -> None:
    named = people(brief)
    unknown = await users.unknown_staff(work, set(named.values())) if named else set()
    refuse_if(
        [
            Fault(Reason.INVALID, f"/{field}", "no active user of the platform has this id")
            for field, person in named.items()
            if person in unknown
        ]
    )


def _check_confidential(who: Principal, content: Mapping[str, Any]) -> None:
    refuse_if(
        [
            Fault(Reason.FORBIDDEN, f"/{field}", f"{field} is not yours to set")
            for field, roles in CONFIDENTIAL.items()
            if field in content and who.role not in roles
        ]
    )
