"""/v1/influencers: profiles, with contact and payee as resources of their own."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Row

from souk.chassis.auth import Principal, allowed
from souk.chassis.etag import IfMatchDep, set_etag
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.chassis.problems import FieldError, Refused
from souk.chassis.work import Work
from souk.contracts.reasons import Locale, Reason
from souk.contracts.topics.campaigns import Gender
from souk.influencer.api.fields import Categories, Country, Email, Name, Secret, Tags, Url, Word, masked
from souk.influencer.api.search import SearchDep
from souk.influencer.api.staff import staff_only
from souk.influencer.handlers import signups
from souk.influencer.handlers.signups import ContactDetails, PayeeDetails, SignUp
from souk.influencer.store import influencers as store
from souk.influencer.store.search import found
from souk.influencer.store.tables import contact, influencer, payee
from souk.influencer.store.tenants import own_influencers

routes = Routes(prefix="/v1/influencers", tags=["influencers"])
Viewer = Annotated[Principal, allowed("influencer", "view")]
Manager = Annotated[Principal, allowed("influencer", "manage")]
Eraser = Annotated[Principal, allowed("influencer", "manage_and_delete")]

MOST_IMPORTED = 200
_FIRST_BIRTH = date(1900, 1, 1)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PushIn(_Body):
    """A Web Push subscription as the browser gives it."""

    endpoint: Url
    p256dh: Annotated[str, Field(min_length=1, max_length=200)]
    auth: Annotated[str, Field(min_length=1, max_length=100)]


class ContactIn(_Body):
    email: Email | None = None
    locale: Locale = "en"
    notifications: Literal["on", "off"] = "on"
    push: Annotated[tuple[PushIn, ...], Field(max_length=10)] = ()

    def details(self) -> ContactDetails:
        return ContactDetails(
            email=self.email,
            locale=self.locale,
            notifications=self.notifications,
            push=tuple(one.model_dump() for one in self.push),
        )


class PayeeIn(_Body):
    country: Country | None = None
    payment_mode: Literal["request", "automatic"] = "request"
    legal_name: Name | None = None
    bank_account: Secret | None = None
    tax_id: Secret | None = None
    consumption_tax_registered: bool = False

    def details(self) -> PayeeDetails:
        return PayeeDetails(**self.model_dump())


class InfluencerIn(_Body):
    id: UUID | None = None
    display_name: Name
    country: Country | None = None
    region: Word | None = None
    gender: Gender | None = None
    birth_date: Annotated[date | None, Field(ge=_FIRST_BIRTH)] = None
    categories: Categories = ()
    tags: Tags = ()
    talent_agency_id: UUID | None = None
    contact: ContactIn = ContactIn()
    payee: PayeeIn = PayeeIn()

    def asked(self) -> SignUp:
        return SignUp(
            id=self.id,
            display_name=self.display_name,
            country=self.country,
            region=self.region,
            gender=self.gender,
            birth_date=self.birth_date,
            categories=self.categories,
            tags=self.tags,
            talent_agency_id=self.talent_agency_id,
            contact=self.contact.details(),
            payee=self.payee.details(),
        )


class InfluencersIn(_Body):
    items: Annotated[tuple[InfluencerIn, ...], Field(min_length=1, max_length=MOST_IMPORTED)]


class InfluencerEdit(_Body):
    """Fields that are left out stay as they are."""

    display_name: Name = ""
    country: Country | None = None
    region: Word | None = None
    gender: Gender | None = None
    birth_date: Annotated[date | None, Field(ge=_FIRST_BIRTH)] = None
    categories: Categories = ()
    tags: Tags = ()
    talent_agency_id: UUID | None = None

    @model_validator(mode="after")
    def _something(self) -> "InfluencerEdit":
        if not self.model_fields_set:
            raise ValueError("name a field to change")
        return self

    def changes(self) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


class InfluencerOut(BaseModel):
    """birth_date: shown to staff, the influencer and the influencer's own agency alone.

    followers: of the largest account. engagement: that account's usual likes per 10,000 followers.
    """

    id: UUID
    version: int
    display_name: str
    country: str | None
    region: str | None
    gender: str | None
    birth_date: date | None
    categories: list[str]
    tags: list[str]
    talent_agency_id: UUID | None
    signed_up_at: datetime
    followers: int | None
    engagement: int | None

    @classmethod
    def of(cls, row: Row[Any], who: Principal) -> "InfluencerOut":
        insider = who.role not in ("advertiser", "agency")
        return cls(
            id=row.id,
            version=row.version,
            display_name=row.display_name,
            country=row.country,
            region=row.region,
            gender=row.gender,
            birth_date=row.birth_date if insider else None,
            categories=row.categories,
            tags=row.tags,
            talent_agency_id=row.talent_agency_id,
            signed_up_at=row.signed_up_at,
            followers=getattr(row, "followers", None),
            engagement=getattr(row, "engagement", None),
        )


class InfluencersOut(BaseModel):
    items: list[InfluencerOut]


class ContactOut(BaseModel):
    """push: how many browsers are subscribed; their keys are not shown again."""

    version: int
    email: str | None
    locale: Locale
    notifications: Literal["on", "off"]
    push: int

    @classmethod
    def of(cls, row: Row[Any]) -> "ContactOut":
        return cls(
            version=row.version,
            email=row.email,
            locale=row.locale,
            notifications=row.notifications,
            push=len(row.push),
        )


class PayeeOut(BaseModel):
    """bank_account, tax_id: written once, shown masked."""

    version: int
    country: str | None
    payment_mode: Literal["request", "automatic"]
    legal_name: str | None
    bank_account: str | None
    tax_id: str | None
    consumption_tax_registered: bool

    @classmethod
    def of(cls, row: Row[Any]) -> "PayeeOut":
        return cls(
            version=row.version,
            country=row.country,
            payment_mode=row.payment_mode,
            legal_name=row.legal_name,
            bank_account=masked(row.bank_account),
            tax_id=masked(row.tax_id),
            consumption_tax_registered=row.consumption_tax_registered,
        )


@routes.post("", status_code=201, idempotent=True)
async def sign_up_influencer(
    body: InfluencerIn, work: WorkDep, who: Manager, response: Response
) -> InfluencerOut:
    """Staff and talent agencies may give the id; influencers sign themselves up, under their token's subject.

    The same content again is answered with what is there.
    """
    _refuse_unborn([body], work, "")
    [row] = await signups.sign_up(work, who, [body.asked()], pointer="")
    response.headers["Location"] = f"/v1/influencers/{row.id}"
    set_etag(response, row.version)
    return InfluencerOut.of(row, who)


@routes.post("/import", status_code=201, idempotent=True)
async def import_influencers(body: InfluencersIn, work: WorkDep, who: Manager) -> InfluencersOut:
    """All of them or none; problems name the items that are wrong."""
    _refuse_unborn(body.items, work, "/items/{}")
    rows = await signups.sign_up(work, who, [item.asked() for item in body.items], pointer="/items/{}")
    return InfluencersOut(items=[InfluencerOut.of(row, who) for row in rows])


@routes.get("")
async def list_influencers(
    work: WorkDep, who: Viewer, cursor: CursorDep, search: SearchDep
) -> Page[InfluencerOut]:
    """The first to sign up first."""
    query = found(search, work.now.date()).where(own_influencers(who))
    keys = (influencer.c.signed_up_at, influencer.c.display_name, influencer.c.id)
    rows = await work.fetch_all(cursor.over(query, *keys))
    return cursor.page(
        rows, lambda row: InfluencerOut.of(row, who), lambda row: (row.signed_up_at, row.display_name, row.id)
    )


@routes.get("/{influencer_id}")
async def read_influencer(
    influencer_id: UUID, work: WorkDep, who: Viewer, response: Response
) -> InfluencerOut:
    row = await _seen(work, influencer_id, who)
    set_etag(response, row.version)
    return InfluencerOut.of(row, who)


@routes.patch("/{influencer_id}")
async def edit_influencer(
    influencer_id: UUID,
    edit: InfluencerEdit,
    work: WorkDep,
    who: Manager,
    expected: IfMatchDep,
    response: Response,
) -> InfluencerOut:
    row = await _locked(work, influencer_id, who)
    expected.check(row.version)
    _refuse_unborn([edit], work, "")
    await signups.edit(work, who, row, edit.changes())
    changed = await _seen(work, influencer_id, who)
    set_etag(response, changed.version)
    return InfluencerOut.of(changed, who)


@routes.delete("/{influencer_id}", status_code=204)
async def erase_influencer(influencer_id: UUID, work: WorkDep, who: Eraser) -> None:
    """Staff forget a person; what was earned stays under the id alone. Done again, nothing happens."""
    staff_only(who)
    row = await store.lock(work, influencer_id, who)
    if row is None:
        raise Refused(Reason.UNKNOWN_INFLUENCER)
    await signups.erase(work, row)


@routes.get("/{influencer_id}/contact")
async def read_contact(influencer_id: UUID, work: WorkDep, who: Manager, response: Response) -> ContactOut:
    await _insider(work, influencer_id, who)
    row = await store.part(work, contact, influencer_id)
    set_etag(response, row.version)
    return ContactOut.of(row)


@routes.put("/{influencer_id}/contact")
async def set_contact(
    influencer_id: UUID,
    body: ContactIn,
    work: WorkDep,
    who: Manager,
    expected: IfMatchDep,
    response: Response,
) -> ContactOut:
    await _insider(work, influencer_id, who, lock=True)
    row = await store.part(work, contact, influencer_id, lock=True)
    expected.check(row.version)
    changed = await signups.set_contact(work, row, body.details())
    set_etag(response, changed.version)
    return ContactOut.of(changed)


@routes.get("/{influencer_id}/payee")
async def read_payee(influencer_id: UUID, work: WorkDep, who: Manager, response: Response) -> PayeeOut:
    await _insider(work, influencer_id, who)
    row = await store.part(work, payee, influencer_id)
    set_etag(response, row.version)
    return PayeeOut.of(row)


@routes.put("/{influencer_id}/payee")
async def set_payee(
    influencer_id: UUID,
    body: PayeeIn,
    work: WorkDep,
    who: Manager,
    expected: IfMatchDep,
    response: Response,
) -> PayeeOut:
    """The whole of it: what is left out is no longer known."""
    await _insider(work, influencer_id, who, lock=True)
    row = await store.part(work, payee, influencer_id, lock=True)
    expected.check(row.version)
    changed = await signups.set_payee(work, row, body.details())
    set_etag(response, changed.version)
    return PayeeOut.of(changed)


async def _seen(work: Work, influencer_id: UUID, who: Principal) -> Row[Any]:
    row = await store.find(work, influencer_id, who)
    if row is None:
        raise Refused(Reason.UNKNOWN_INFLUENCER)
    return row


async def _locked(work: Work, influencer_id: UUID, who: Principal) -> Row[Any]:
    row = await store.lock(work, influencer_id, who)
    if row is None or row.erased:
        raise Refused(Reason.UNKNOWN_INFLUENCER)
    return row


async def _insider(work: Work, influencer_id: UUID, who: Principal, *, lock: bool = False) -> None:
    """Whoever pays has no business with addresses and bank accounts, whatever their own level is."""
    if who.role in ("advertiser", "agency"):
        raise Refused(Reason.FORBIDDEN)
    await (_locked if lock else _seen)(work, influencer_id, who)


def _refuse_unborn(bodies: Any, work: Work, pointer: str) -> None:
    unborn = [
        FieldError(pointer=f"{pointer.format(n)}/birth_date", detail="lies in the future")
        for n, body in enumerate(bodies)
        if body.birth_date is not None and body.birth_date > work.now.date()
    ]
    if unborn:
        raise Refused(Reason.INVALID, errors=unborn)
