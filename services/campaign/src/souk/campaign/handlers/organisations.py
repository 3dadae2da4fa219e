"""Organisations are made and changed by staff."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from souk.campaign.domain.fault import Fault
from souk.campaign.handlers.refusal import refuse_if
from souk.campaign.store import campaigns, organisations, users
from souk.chassis.auth import Principal
from souk.chassis.problems import Refused
from souk.chassis.work import Work
from souk.contracts.reasons import Reason


async def create(work: Work, who: Principal, values: Mapping[str, Any]) -> Row[Any]:
    """values: by column; without an `id` it gets a new one."""
    _only_staff(who)
    await _check_agency(work, who, values["kind"], values.get("agency_id"))
    row = await organisations.add(work, {"id": work.new_id(), "active": True} | dict(values))
    work.publish("organisation.created", organisations.organisation_state(row))
    return row


async def edit(work: Work, who: Principal, row: Row[Any], changes: Mapping[str, Any]) -> Row[Any]:
    """The locked row with `changes`.

    Drafts go with their advertiser to another agency; an approved campaign stays with the agency it was
    approved with, whose margin it carries. Users go out of service with their organisation and come back
    with it, in this unit: every other service knows them by their own states alone.
    """
    _only_staff(who)
    if all(getattr(row, name) == value for name, value in changes.items()):
        return row
    moved = "agency_id" in changes and changes["agency_id"] != row.agency_id
    if moved:
        await _check_agency(work, who, row.kind, changes["agency_id"])
    written = await organisations.change(work, row, changes)
    work.publish("organisation.changed", organisations.organisation_state(written))
    if written.active != row.active:
        its_users = await users.advance(work, row.id)
        states = [users.user_state(one, in_service=written.active) for one in its_users]
        work.publish("user.changed", *states)
    if moved:
        for draft in await campaigns.move_drafts(work, row.id, written.agency_id):
            work.publish("campaign.changed", campaigns.campaign_state(draft))
            work.publish("terms.set", campaigns.terms_state(draft))
    return written


async def _check_agency(work: Work, who: Principal, kind: str, agency_id: UUID | None) -> None:
    if agency_id is None:
        return
    if kind != "advertiser":
        refuse_if([Fault(Reason.INVALID, "/agency_id", "only an advertiser has an agency")])
    if await organisations.hold(work, agency_id, "agency", who) is None:
        refuse_if([Fault(Reason.INVALID, "/agency_id", "no active agency has this id")])


def _only_staff(who: Principal) -> None:
    if who.role != "staff":
        raise Refused(Reason.FORBIDDEN, "organisations are kept by staff")
