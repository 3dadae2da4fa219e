"""`/v1/accounts`: social accounts. The platform is asked before the unit of work opens.

Connecting is therefore `repeatable`: an account belongs to whoever connected it first, so that doing it
again changes nothing, whatever Idempotency-Key is sent.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from sqlalchemy import select

from souk.chassis.auth import Principal, PrincipalDep, allowed
from souk.chassis.etag import set_etag
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.chassis.problems import FieldError, Refused, unavailable
from souk.chassis.work import Units, Work
from souk.contracts.permissions import DEFAULTS, Level
from souk.contracts.reasons import Reason
from souk.contracts.topics.campaigns import Connection
from souk.contracts.topics.campaigns import Platform as PlatformName
from souk.tracking.adapters.platform import (
    Channel,
    Platform,
    PlatformRefusedError,
    PlatformUnavailableError,
    QuotaSpentError,
)
from souk.tracking.api.tenants import own_influencer, reaches_account
from souk.tracking.handlers import accounts as handlers
from souk.tracking.store import copies
from souk.tracking.store.sealing import Seal
from souk.tracking.store.tables import account, influencer

Reach = Callable[[Units], AbstractAsyncContextManager[Platform]]
"""Opens a way to the platform that accounts for what it spends."""

CONNECTABLE: tuple[PlatformName, ...] = ("youtube",)
ExternalId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Manager = Annotated[Principal, allowed("influencer", "manage")]
Viewer = Annotated[Principal, allowed("influencer", "view")]


class ConnectAccount(BaseModel):
    model_config = ConfigDict(extra="forbid")

    influencer_id: UUID
    platform: PlatformName = "youtube"
    external_id: ExternalId | None = None
    handle: Annotated[str, Field(pattern=r"^@?[\w.·-]{1,100}$")] | None = None
    access_token: Annotated[SecretStr, Field(min_length=1, max_length=4000)] | None = None

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if (self.external_id is None) == (self.handle is None):
            raise ValueError("name the account by external_id or by handle")
        return self


class ImportedAccount(BaseModel):
    model_config = ConfigDict(extra="forbid")

    influencer_id: UUID
    platform: PlatformName = "youtube"
    external_id: ExternalId


class ImportAccounts(BaseModel):
    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[ImportedAccount], Field(min_length=1, max_length=200)]


class AccountOut(BaseModel):
    id: UUID
    version: int
    influencer_id: UUID
    platform: PlatformName
    external_id: str
    handle: str
    followers: int | None
    usual_likes: int | None
    connection: Connection
    connected_at: datetime | None

    @classmethod
    def of(cls, row: Any) -> "AccountOut":
        return cls.model_validate(row, from_attributes=True)


class ImportRefusal(BaseModel):
    influencer_id: UUID
    platform: PlatformName
    external_id: str
    reason: Reason


class ImportOut(BaseModel):
    items: list[AccountOut]
    refused: list[ImportRefusal]


def routes(reach: Reach, seal: Seal) -> Routes:
    """The router, for one way to the platform."""
    router = Routes(prefix="/v1/accounts", tags=["accounts"])

    async def found(body: ConnectAccount, who: PrincipalDep, request: Request) -> Channel:
        _expect_manager(who)
        if body.platform not in CONNECTABLE:
            error = FieldError(pointer="/platform", detail=f"{', '.join(CONNECTABLE)} can be connected")
            raise Refused(Reason.PLATFORM_NOT_OFFERED, errors=[error])
        async with _answering(), reach(request.app.state.units) as platform:
            if body.handle is not None:
                channel = await platform.channel_of_handle("@" + body.handle.removeprefix("@"))
            else:
                channel = (await platform.channels([body.external_id or ""])).get(body.external_id or "")
        if channel is None:
            raise Refused(Reason.ACCOUNT_NOT_REACHED)
        return channel

    async def found_all(body: ImportAccounts, who: PrincipalDep, request: Request) -> dict[str, Channel]:
        if who.role != "staff":
            raise Refused(Reason.FORBIDDEN)
        ids = sorted({item.external_id for item in body.items if item.platform in CONNECTABLE})
        channels: dict[str, Channel] = {}
        async with _answering(), reach(request.app.state.units) as platform:
            for start in range(0, len(ids), platform.ids_a_call):
                channels |= await platform.channels(ids[start : start + platform.ids_a_call])
        return channels

    @router.post("", status_code=201, repeatable=True)
    async def connect_account(
        channel: Annotated[Channel, Depends(found)],
        body: ConnectAccount,
        who: Manager,
        work: WorkDep,
        response: Response,
    ) -> AccountOut:
        await _expect_own(work, who, body.influencer_id)
        token = seal.close(body.access_token.get_secret_value()) if body.access_token else None
        connected = await handlers.connect(
            work, body.platform, [handlers.Claim(body.influencer_id, channel, token)]
        )
        if connected.taken:
            raise Refused(Reason.ACCOUNT_TAKEN)
        row = connected.rows[channel.external_id]
        response.headers["Location"] = f"/v1/accounts/{row.id}"
        set_etag(response, row.version)
        return AccountOut.of(row)

    @router.post("/import", repeatable=True)
    async def import_accounts(
        channels: Annotated[dict[str, Channel], Depends(found_all)],
        body: ImportAccounts,
        who: Manager,
        work: WorkDep,
    ) -> ImportOut:
        """Connect many at once; each that can't be is named with the reason, and the others are done."""
        return await _import(work, body.items, channels)

    @router.get("")
    async def list_accounts(
        work: WorkDep,
        who: Viewer,
        cursor: CursorDep,
        influencer_id: UUID | None = None,
        connection: Connection | None = None,
    ) -> Page[AccountOut]:
        query = select(account).where(reaches_account(who))
        if influencer_id is not None:
            query = query.where(account.c.influencer_id == influencer_id)
        if connection is not None:
            query = query.where(account.c.connection == connection)
        rows: Sequence[Any] = await work.fetch_all(cursor.over(query, account.c.id))
        return cursor.page(rows, AccountOut.of, keys=lambda row: (row.id,))

    @router.get("/{account_id}")
    async def read_account(account_id: UUID, work: WorkDep, who: Viewer, response: Response) -> AccountOut:
        row = await work.fetch_one(select(account).where(account.c.id == account_id, reaches_account(who)))
        if row is None:
            raise Refused(Reason.UNKNOWN_ACCOUNT)
        set_etag(response, row.version)
        return AccountOut.of(row)

    return router


def _expect_manager(who: Principal) -> None:
    """The role's own level, so that nobody without any spends quota; a user's own level is checked after."""
    if DEFAULTS[who.role]["influencer"] < Level.MANAGE:
        raise Refused(Reason.FORBIDDEN, area="influencer", level="manage")


async def _expect_own(work: Work, who: Principal, influencer_id: UUID) -> None:
    if who.influencer_id == influencer_id:
        # Just signed up: their state may still be on its way.
        await copies.expect_influencer(work, influencer_id)
    own = await work.scalar(
        select(influencer.c.id).where(influencer.c.id == influencer_id, own_influencer(who, influencer.c.id))
    )
    if own is None or not await copies.known_influencers(work, {influencer_id}):
        raise Refused(Reason.UNKNOWN_INFLUENCER)


async def _import(work: Work, items: Sequence[ImportedAccount], channels: dict[str, Channel]) -> ImportOut:
    known = await copies.known_influencers(work, {item.influencer_id for item in items})
    claims = [
        handlers.Claim(item.influencer_id, channels[item.external_id])
        for item in items
        if item.influencer_id in known and item.platform in CONNECTABLE and item.external_id in channels
    ]
    connected = await handlers.connect(work, "youtube", claims)
    refused = []
    for item in items:
        row = connected.rows.get(item.external_id)
        if item.platform not in CONNECTABLE:
            refused.append(_refusal(item, Reason.PLATFORM_NOT_OFFERED))
        elif item.influencer_id not in known:
            refused.append(_refusal(item, Reason.UNKNOWN_INFLUENCER))
        elif item.external_id not in channels:
            refused.append(_refusal(item, Reason.ACCOUNT_NOT_REACHED))
        elif row is None or row.influencer_id != item.influencer_id:
            refused.append(_refusal(item, Reason.ACCOUNT_TAKEN))
    return ImportOut(items=[AccountOut.of(row) for row in connected.rows.values()], refused=refused)


def _refusal(item: ImportedAccount, reason: Reason) -> ImportRefusal:
    return ImportRefusal(
        influencer_id=item.influencer_id,
        platform=item.platform,
        external_id=item.external_id,
        reason=reason,
    )


class _answering:  # noqa: N801  reads as what it does
    """Turns the platform's failures into problems."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PlatformUnavailableError | QuotaSpentError):
            raise unavailable("the platform can't be asked for the moment") from error
        if isinstance(error, PlatformRefusedError):
            raise Refused(Reason.ACCOUNT_NOT_REACHED) from error
