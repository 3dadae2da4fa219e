"""Influencers come, change and are forgotten."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Row, Table

from souk.chassis import idempotency
from souk.chassis.auth import Principal
from souk.chassis.problems import FieldError, Refused
from souk.chassis.work import Work
from souk.contracts.ids import InfluencerId
from souk.contracts.reasons import Locale, Reason
from souk.contracts.topics.campaigns import Gender
from souk.influencer.domain.participation import Step, move, stepped
from souk.influencer.store import copies, decisions, erasure, influencers, participations
from souk.influencer.store.tables import contact, influencer, payee


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactDetails:
    email: str | None = None
    locale: Locale = "en"
    notifications: Literal["on", "off"] = "on"
    push: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PayeeDetails:
    country: str | None = None
    payment_mode: Literal["request", "automatic"] = "request"
    legal_name: str | None = None
    bank_account: str | None = None
    tax_id: str | None = None
    consumption_tax_registered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp:
    """id: None for a new one."""

    id: UUID | None
    display_name: str
    country: str | None
    region: str | None
    gender: Gender | None
    birth_date: date | None
    categories: tuple[str, ...]
    tags: tuple[str, ...]
    talent_agency_id: UUID | None
    contact: ContactDetails
    payee: PayeeDetails


async def sign_up(work: Work, who: Principal, asked: Sequence[SignUp], *, pointer: str) -> list[Row[Any]]:
    """Make all of them, or none; one that is there already with the same content is as good as made.

    pointer: of the n-th in the request, with `{}` for n. Influencers sign up themselves alone, under the
    subject of their tokens. Raises Refused(forbidden) for callers who don't sign the asked up,
    Refused(unknown_organisation) and Refused(conflict) with a pointer to each.
    """
    _check_may(who, asked)
    await _check_agencies(work, who, asked, pointer)
    ids = [one.id or who.influencer_id or work.new_id() for one in asked]
    _check_once(ids, pointer)
    profiles = [_profile(one, who) for one in asked]
    made = await _insert(work, influencer, ids, profiles, signed_up_at=work.now)
    contacts = [{**asdict(one.contact), "push": list(one.contact.push)} for one in asked]
    payees = [asdict(one.payee) for one in asked]
    new_contacts = await _insert(work, contact, ids, contacts)
    new_payees = await _insert(work, payee, ids, payees)
    there = await _same(work, influencer, ids, profiles, made)
    await _same(work, contact, ids, contacts, new_contacts)
    await _same(work, payee, ids, payees, new_payees)
    differing = [
        FieldError(pointer=f"{pointer.format(n)}/id", detail="this id is taken by another influencer")
        for n, found in enumerate(there)
        if found is None
    ]
    if differing:
        raise Refused(Reason.CONFLICT, errors=differing)
    work.publish("influencer.signed_up", *(influencers.influencer_state(made[i]) for i in ids if i in made))
    work.publish("contact.set", *(influencers.contact_state(new_contacts[i]) for i in ids if i in made))
    work.publish("payee.set", *(influencers.payee_state(new_payees[i]) for i in ids if i in made))
    return [row for row in there if row is not None]


def _check_may(who: Principal, asked: Sequence[SignUp]) -> None:
    if who.role not in ("staff", "talent-agency", "influencer"):
        raise Refused(Reason.FORBIDDEN, "staff, talent agencies and influencers themselves sign up")
    if who.influencer_id and any(one.id not in (None, who.influencer_id) for one in asked):
        raise Refused(Reason.FORBIDDEN, "influencers sign up with the id that is their token's subject")


async def _check_agencies(work: Work, who: Principal, asked: Sequence[SignUp], pointer: str) -> None:
    named = {one.talent_agency_id for one in asked if one.talent_agency_id is not None}
    kinds = await copies.kinds_of(work, named) if named else {}
    wrong = [
        FieldError(pointer=f"{pointer.format(n)}/talent_agency_id", detail="no talent agency of yours")
        for n, one in enumerate(asked)
        if one.talent_agency_id is not None and not _may_represent(who, one.talent_agency_id, kinds)
    ]
    if wrong:
        raise Refused(Reason.UNKNOWN_ORGANISATION, errors=wrong)


def _may_represent(who: Principal, agency: UUID, kinds: Mapping[UUID, str]) -> bool:
    """An agency whose state has not arrived yet may be named: it arrives."""
    if who.role == "talent-agency":
        return agency == who.organisation_id
    if who.role == "influencer":
        return False
    return kinds.get(agency, "talent-agency") == "talent-agency"


def _check_once(ids: Sequence[UUID], pointer: str) -> None:
    twice = [n for n, one in enumerate(ids) if one in ids[:n]] if len(set(ids)) < len(ids) else []
    if twice:
        errors = [FieldError(pointer=f"{pointer.format(n)}/id", detail="named twice") for n in twice]
        raise Refused(Reason.INVALID, errors=errors)


def _profile(one: SignUp, who: Principal) -> dict[str, Any]:
    return {
        "display_name": one.display_name,
        "country": one.country,
        "region": one.region,
        "gender": one.gender,
        "birth_date": one.birth_date,
        "categories": list(one.categories),
        "tags": list(one.tags),
        "talent_agency_id": who.organisation_id if who.role == "talent-agency" else one.talent_agency_id,
    }


async def _insert(
    work: Work, table: Table, ids: Sequence[UUID], values: Sequence[Mapping[str, Any]], **more: Any
) -> dict[UUID, Row[Any]]:
    rows = [
        {"id": i, "version": 1, "changed_at": work.now, **more, **v} for i, v in zip(ids, values, strict=True)
    ]
    return {row.id: row for row in await influencers.insert_new(work, table, rows)}


async def _same(
    work: Work,
    table: Table,
    ids: Sequence[UUID],
    values: Sequence[Mapping[str, Any]],
    made: Mapping[UUID, Row[Any]],
) -> list[Row[Any] | None]:
    """The row of each id, None where it was there before with other content."""
    older = await influencers.existing(work, table, [i for i in ids if i not in made])
    found: list[Row[Any] | None] = []
    for i, wanted in zip(ids, values, strict=True):
        row = made.get(i) or older[i]
        same = not row.erased and all(getattr(row, name) == value for name, value in wanted.items())
        found.append(row if same else None)
    return found


async def edit(work: Work, who: Principal, row: Row[Any], changes: Mapping[str, Any]) -> Row[Any]:
    """The locked profile with `changes`; an agency can't hand its influencers to others.

    Raises Refused(unknown_organisation) for an agency that can't be named.
    """
    if "talent_agency_id" in changes and changes["talent_agency_id"] != row.talent_agency_id:
        agency = changes["talent_agency_id"]
        kinds = await copies.kinds_of(work, [agency]) if agency is not None else {}
        if who.role != "staff" or (agency is not None and not _may_represent(who, agency, kinds)):
            error = FieldError(pointer="/talent_agency_id", detail="no talent agency of yours")
            raise Refused(Reason.UNKNOWN_ORGANISATION, errors=[error])
    if all(getattr(row, name) == value for name, value in changes.items()):
        return row
    changed = await influencers.change(work, influencer, row, changes)
    work.publish("influencer.changed", influencers.influencer_state(changed))
    return changed


async def set_contact(work: Work, row: Row[Any], details: ContactDetails) -> Row[Any]:
    changed = await influencers.change(
        work, contact, row, {**asdict(details), "push": [dict(one) for one in details.push]}
    )
    work.publish("contact.set", influencers.contact_state(changed))
    return changed


async def set_payee(work: Work, row: Row[Any], details: PayeeDetails) -> Row[Any]:
    changed = await influencers.change(work, payee, row, asdict(details))
    work.publish("payee.set", influencers.payee_state(changed))
    return changed


async def erase(work: Work, row: Row[Any]) -> None:
    """Forget the person of the locked `row` everywhere; what they earned stays, under an id alone.

    Their participations end, as if they had withdrawn (domain.md §9.5).
    """
    if row.erased:
        return
    person = InfluencerId(row.id)
    # What waits for the relay would reach the topics after the erasure's own states.
    await erasure.forget_pending(work, person)
    await idempotency.forget(work, person)
    blank: dict[str, Any] = {"erased": True}
    profile = await influencers.change(
        work, influencer, row, blank | {
            "display_name": "", "country": None, "region": None, "gender": None, "birth_date": None,
            "categories": [], "tags": [], "talent_agency_id": None,
        },
    )  # fmt: skip
    old_contact = await influencers.part(work, contact, person, lock=True)
    no_contact = await influencers.change(work, contact, old_contact, blank | asdict(_NO_CONTACT))
    old_payee = await influencers.part(work, payee, person, lock=True)
    no_payee = await influencers.change(work, payee, old_payee, blank | asdict(PayeeDetails()))
    await copies.forget_handles(work, [person])
    await decisions.forget(work, person)
    await _withdraw_all(work, person)
    work.publish("influencer.erased", influencers.influencer_state(profile))
    work.publish("contact.erased", influencers.contact_state(no_contact))
    work.publish("payee.erased", influencers.payee_state(no_payee))


_NO_CONTACT = ContactDetails(notifications="off")


async def _withdraw_all(work: Work, person: InfluencerId) -> None:
    left = [
        stepped(one, step, work.now)
        for one in await participations.acted_by(work, person)
        if isinstance(step := move(one.state, "withdraw"), Step)
    ]
    await participations.save(work, left)
    work.publish("participation.withdrawn", *map(participations.state_of, left))
