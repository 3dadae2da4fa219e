"""/v1/organisations: tenants, kept by staff."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy import Row

from souk.campaign.api.fields import Country
from souk.campaign.api.merge import changes_of
from souk.campaign.handlers import organisations as handlers
from souk.campaign.store import organisations as store
from souk.campaign.store.tables import organisation
from souk.chassis.auth import Principal, allowed
from souk.chassis.etag import IfMatchDep, set_etag
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.contracts.topics.organisations import OrganisationKind

routes = Routes(prefix="/v1/organisations", tags=["organisations"])
Viewer = Annotated[Principal, allowed("organisation", "view")]
Manager = Annotated[Principal, allowed("organisation", "manage")]

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class OrganisationNew(BaseModel):
    """id: the caller may bring one, of an identity provider for instance."""

    model_config = ConfigDict(extra="forbid")

    id: UUID | None = None
    kind: OrganisationKind
    name: Name
    country: Country
    agency_id: UUID | None = None


class OrganisationEdit(BaseModel):
    """Merge patch (RFC 7396): what isn't named stays; null takes the agency away."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    country: Country | None = None
    agency_id: UUID | None = None
    active: bool | None = None


class OrganisationOut(BaseModel):
    id: UUID
    version: int
    created_at: datetime
    changed_at: datetime
    kind: OrganisationKind
    name: str
    country: str
    agency_id: UUID | None
    active: bool

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        return cls.model_validate(row._mapping)


@routes.post("", status_code=201, idempotent=True)
async def create_organisation(
    new: OrganisationNew, work: WorkDep, who: Manager, response: Response
) -> OrganisationOut:
    row = await handlers.create(work, who, new.model_dump(exclude_none=True))
    response.headers["Location"] = f"/v1/organisations/{row.id}"
    set_etag(response, row.version)
    return OrganisationOut.of(row)


@routes.get("")
async def list_organisations(
    work: WorkDep,
    who: Viewer,
    cursor: CursorDep,
    kind: OrganisationKind | None = None,
    agency_id: UUID | None = None,
) -> Page[OrganisationOut]:
    query = cursor.over(store.seen_by(who, kind, agency_id), organisation.c.created_at, organisation.c.id)
    rows = await work.fetch_all(query)
    return cursor.page(rows, OrganisationOut.of, lambda row: (row.created_at, row.id))


@routes.get("/{organisation_id}")
async def read_organisation(
    organisation_id: UUID, work: WorkDep, who: Viewer, response: Response
) -> OrganisationOut:
    row = await store.find(work, organisation_id, who)
    set_etag(response, row.version)
    return OrganisationOut.of(row)


@routes.patch("/{organisation_id}")
async def edit_organisation(
    *,
    organisation_id: UUID,
    edit: OrganisationEdit,
    work: WorkDep,
    who: Manager,
    expected: IfMatchDep,
    response: Response,
) -> OrganisationOut:
    row = await store.lock(work, organisation_id, who)
    expected.check(row.version)
    row = await handlers.edit(work, who, row, changes_of(edit, nullable={"agency_id"}))
    set_etag(response, row.version)
    return OrganisationOut.of(row)
