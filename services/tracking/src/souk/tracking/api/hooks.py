"""`/hooks`: what shops tell of orders, signed with their secret instead of a token."""

import json
from typing import Any
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel, ValidationError
from sqlalchemy import Row

from souk.chassis.http import Routes, WorkDep
from souk.chassis.problems import FieldError, Refused, invalid
from souk.chassis.work import Work
from souk.contracts.reasons import Reason
from souk.tracking.adapters import shopify
from souk.tracking.handlers import conversions as handlers
from souk.tracking.store import conversions as store
from souk.tracking.store.sealing import Seal


class Acknowledged(BaseModel):
    """recorded: it changed something. unchanged: it was known. waiting: its order has not come yet.
    ignored: it names no code and no click, or another topic."""

    status: handlers.Outcome


def routes(seal: Seal) -> Routes:
    """The router, for one seal of secrets."""
    router = Routes(prefix="/hooks", tags=["hooks"], public=True)

    @router.post("/shopify/{shop_id}")
    async def receive_shopify(shop_id: UUID, request: Request, work: WorkDep) -> Acknowledged:
        """Orders and refunds as Shopify sends them; the same one again changes nothing."""
        shop = await _shop(work, shop_id, "shopify")
        body = await request.body()
        if not shopify.is_signed(
            body, seal.open(shop.secret), request.headers.get("x-shopify-hmac-sha256", "")
        ):
            raise Refused(Reason.INVALID_SIGNATURE)
        _expect_domain(shop.domain, request.headers.get("x-shopify-shop-domain"))
        topic = request.headers.get("x-shopify-topic", "")
        content = _object(body)
        try:
            if topic in shopify.ORDER_TOPICS:
                outcome = await handlers.record_order(work, shop, shopify.read_order(content), "shop")
            elif topic == shopify.REFUND_TOPIC:
                outcome = await handlers.record_refund(work, shop, shopify.read_refund(content))
            else:
                outcome = "ignored"
        except ValidationError as error:
            raise invalid(error.errors()) from None
        return Acknowledged(status=outcome)

    @router.post("/postback/{shop_id}")
    async def receive_postback(shop_id: UUID, request: Request, work: WorkDep) -> Acknowledged:
        """One order, or what was refunded of it so far, as a server of the shop posts it.

        The body is a JSON object: `order_id`, `amount`, `currency`, and if known `click_id`, `code`,
        `ordered_at`, `updated_at`, `refund`; times are RFC 3339. Of several postbacks about one order the
        `amount` of the latest counts, by `updated_at`, else by `ordered_at`, whenever they arrive. Those
        without either, and those of the same instant, leave the first amount as it is. `refund` is what
        was given back so far, in all: it only grows.
        """
        shop = await _shop(work, shop_id, "postback")
        body = await request.body()
        signature = request.headers.get("x-souk-signature", "")
        if not shopify.is_signed_postback(body, seal.open(shop.secret), signature):
            raise Refused(Reason.INVALID_SIGNATURE)
        try:
            told = shopify.Postback.model_validate(_object(body))
        except ValidationError as error:
            raise invalid(error.errors()) from None
        return Acknowledged(
            status=await handlers.record_order(work, shop, told.as_order(work.now), "postback")
        )

    return router


async def _shop(work: Work, shop_id: UUID, kind: str) -> Row[Any]:
    shop = await store.find_shop(work, shop_id, kind)
    if shop is None:
        raise Refused(Reason.UNKNOWN_SHOP)
    return shop


def _expect_domain(domain: str, told: str | None) -> None:
    """Two shops may have been given one secret; the signature does not cover the header."""
    if told is not None and told.lower() != domain:
        error = FieldError(pointer="/header/x-shopify-shop-domain", detail=f"this is the hook of {domain}")
        raise Refused(Reason.INVALID, errors=[error])


def _object(body: bytes) -> dict[str, Any]:
    """The signed body as JSON in UTF-8 (RFC 8259 §8.1), its decimals unread as floats."""
    try:
        content = json.loads(body.decode(), parse_float=str)
    except (ValueError, RecursionError):
        raise Refused(Reason.MALFORMED_JSON) from None
    if not isinstance(content, dict):
        raise Refused(Reason.INVALID, errors=[FieldError(pointer="", detail="a JSON object is expected")])
    if b"\\u0000" in body:
        raise Refused(Reason.INVALID, errors=[FieldError(pointer="", detail="no text holds U+0000")])
    return content
