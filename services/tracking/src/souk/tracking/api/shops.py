"""`/v1/shops`: who may tell of a campaign's orders."""

import secrets
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy import insert, select

from souk.chassis.auth import Principal, allowed
from souk.chassis.http import Routes, WorkDep
from souk.chassis.paging import CursorDep, Page
from souk.chassis.problems import Refused
from souk.contracts.reasons import Reason
from souk.tracking.api.tenants import own_campaign
from souk.tracking.store.sealing import Seal
from souk.tracking.store.tables import campaign, shop

Viewer = Annotated[Principal, allowed("campaign", "view")]
Manager = Annotated[Principal, allowed("campaign", "manage")]


class OpenShop(BaseModel):
    """domain: at Shopify the one that webhooks name, `<shop>.myshopify.com`.
    secret: that the shop signs with, where the shop chooses it (Shopify does); else one is made."""

    model_config = ConfigDict(extra="forbid")

    campaign_id: UUID
    kind: Literal["shopify", "postback"]
    domain: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
    secret: Annotated[SecretStr, Field(min_length=16, max_length=200)] | None = None


class ShopOut(BaseModel):
    id: UUID
    campaign_id: UUID
    kind: str
    domain: str
    created_at: datetime

    @classmethod
    def of(cls, row: Any) -> "ShopOut":
        return cls.model_validate(row, from_attributes=True)


class OpenedShop(ShopOut):
    """hook: address that the shop sends its orders to. `secret` is shown this once."""

    hook: str
    secret: str


def routes(seal: Seal, public_url: str) -> Routes:
    """The router, for one seal of secrets; public_url: where shops reach souk."""
    router = Routes(prefix="/v1/shops", tags=["shops"])

    @router.post("", status_code=201, shown_once=True)
    async def open_shop(body: OpenShop, work: WorkDep, who: Manager, response: Response) -> OpenedShop:
        """The secret is shown this once: with the same Idempotency-Key again the answer is 409 `conflict`,
        whose `location` is the shop that was opened."""
        owned = select(campaign.c.id).where(
            campaign.c.id == body.campaign_id, campaign.c.version > 0, own_campaign(who)
        )
        if await work.scalar(owned) is None:
            raise Refused(Reason.UNKNOWN_CAMPAIGN)
        secret = body.secret.get_secret_value() if body.secret else secrets.token_urlsafe(32)
        row = {
            "id": work.new_id(),
            "campaign_id": body.campaign_id,
            "kind": body.kind,
            "domain": body.domain,
            "created_at": work.now,
        }
        await work.execute(insert(shop).values(**row, secret=seal.close(secret)))
        response.headers["Location"] = f"/v1/shops/{row['id']}"
        response.headers["Cache-Control"] = "no-store"
        hook = f"{public_url.rstrip('/')}/hooks/{body.kind}/{row['id']}"
        return OpenedShop.model_validate({**row, "secret": secret, "hook": hook})

    @router.get("")
    async def list_shops(
        work: WorkDep, who: Viewer, cursor: CursorDep, campaign_id: UUID | None = None
    ) -> Page[ShopOut]:
        query = select(shop).where(shop.c.campaign_id.in_(select(campaign.c.id).where(own_campaign(who))))
        if campaign_id is not None:
            query = query.where(shop.c.campaign_id == campaign_id)
        rows = await work.fetch_all(cursor.over(query, shop.c.created_at, shop.c.id))
        return cursor.page(rows, ShopOut.of, keys=lambda row: (row.created_at, row.id))

    @router.get("/{shop_id}")
    async def read_shop(shop_id: UUID, work: WorkDep, who: Viewer) -> ShopOut:
        row = await work.fetch_one(
            select(shop).where(
                shop.c.id == shop_id, shop.c.campaign_id.in_(select(campaign.c.id).where(own_campaign(who)))
            )
        )
        if row is None:
            raise Refused(Reason.UNKNOWN_SHOP)
        return ShopOut.of(row)

    return router
