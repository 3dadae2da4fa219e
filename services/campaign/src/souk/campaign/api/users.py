"""/v1/users: who works for a tenant. Name and e-mail address are shown here and nowhere else."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy import Row

from souk.campaign.api.merge import changes_of
from souk.campaign.handlers import users as handlers
from souk.campaign.store import users as store
from souk.campaign.store.tables import user
from souk.chassis.auth import Principal, allowed
from souk.chassis.etag import IfMatchDep, set_etag
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.contracts.permissions import Area, Level

routes = Routes(prefix="/v1/users", tags=["users"])
Viewer = Annotated[Principal, allowed("user", "view")]
Manager = Annotated[Principal, allowed("user", "manage")]

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, to_lower=True, max_length=254, pattern=r"^[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+$"
    ),
]
LevelName = Literal["none", "view", "manage", "manage_and_delete"]
Levels = dict[Area, LevelName]


class UserNew(BaseModel):
    """id: the subject of the user's tokens. organisation_id: the caller's own when unset."""

    model_config = ConfigDict(extra="forbid")

    id: UUID | None = None
    organisation_id: UUID | None = None
    email: Email
    name: Name
    levels: Levels = {}


class UserEdit(BaseModel):
    """Merge patch, but for `levels`, which are replaced as a whole."""

    model_config = ConfigDict(extra="forbid")

    email: Email | None = None
    name: Name | None = None
    levels: Levels | None = None
    active: bool | None = None


class UserOut(BaseModel):
    """levels: what overrides the defaults of the organisation's kind."""

    id: UUID
    version: int
    created_at: datetime
    changed_at: datetime
    organisation_id: UUID
    email: str
    name: str
    levels: Levels
    active: bool

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        levels = {area: Level(level).name.lower() for area, level in row.levels.items()}
        return cls.model_validate({**row._mapping, "levels": levels})


def _columns(fields: dict[str, Any]) -> dict[str, Any]:
    if "levels" in fields:
        fields["levels"] = {area: Level[name.upper()] for area, name in fields["levels"].items()}
    return fields


@routes.post("", status_code=201, idempotent=True)
async def create_user(new: UserNew, work: WorkDep, who: Manager, response: Response) -> UserOut:
    row = await handlers.create(work, who, _columns(new.model_dump(exclude_none=True)))
    response.headers["Location"] = f"/v1/users/{row.id}"
    set_etag(response, row.version)
    return UserOut.of(row)


@routes.get("")
async def list_users(
    work: WorkDep, who: Viewer, cursor: CursorDep, organisation_id: UUID | None = None
) -> Page[UserOut]:
    query = cursor.over(store.seen_by(who, organisation_id), user.c.created_at, user.c.id)
    rows = await work.fetch_all(query)
    return cursor.page(rows, UserOut.of, lambda row: (row.created_at, row.id))


@routes.get("/{user_id}")
async def read_user(user_id: UUID, work: WorkDep, who: Viewer, response: Response) -> UserOut:
    row = await store.find(work, user_id, who)
    set_etag(response, row.version)
    return UserOut.of(row)


@routes.patch("/{user_id}")
async def edit_user(
    *, user_id: UUID, edit: UserEdit, work: WorkDep, who: Manager, expected: IfMatchDep, response: Response
) -> UserOut:
    row = await store.lock(work, user_id, who)
    expected.check(row.version)
    row = await handlers.edit(work, who, row, _columns(changes_of(edit, nullable=())))
    set_etag(response, row.version)
    return UserOut.of(row)
