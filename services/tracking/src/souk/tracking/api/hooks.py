"""`/hooks`: what shops tell of orders, signed with their secret instead of a token."""

import json
from collections.abc import Mapping, Sequence
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


def _described(
    signature: shopify.Signature,
    headers: Mapping[str, tuple[bool, str]],
    bodies: Sequence[type[BaseModel]],
    examples: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """What OpenAPI says of a hook, which reads its body as bytes because these are what is signed.

    headers: besides the signature's, whether they are required and what they say.
    """
    schemas = [_whole(body.model_json_schema()) for body in bodies]
    return {
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": required,
                "description": says,
                "schema": {"type": "string"},
            }
            for name, (required, says) in {signature.header: (True, signature.wanted), **headers}.items()
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas},
                    "examples": {name: {"value": value} for name, value in examples.items()},
                }
            },
        },
    }


def _whole(part: Any, definitions: Mapping[str, Any] | None = None) -> Any:
    """A JSON schema with its definitions put where they are referred to, and without generated titles."""
    if isinstance(part, list):
        return [_whole(each, definitions) for each in part]
    if not isinstance(part, dict):
        return part
    known = part.get("$defs", definitions or {})
    if "$ref" in part:
        return _whole(known[part["$ref"].rpartition("/")[2]], known)
    return {
        name: _whole(value, known)
        for name, value in part.items()
        if name != "$defs" and not (name == "title" and isinstance(value, str))
    }


_TOPICS = ", ".join((*shopify.ORDER_TOPICS, shopify.REFUND_TOPIC))
_SHOPIFY = _described(
    shopify.SHOPIFY,
    {
        "X-Shopify-Topic": (True, f"{_TOPICS}; others are acknowledged and ignored"),
        "X-Shopify-Shop-Domain": (False, "the shop's `domain`; another one is refused"),
    },
    (shopify.OrderTold, shopify.RefundTold),
    {
        "orders/create": {
            "id": 450789469,
            "created_at": "2017-09-21T10:00:00Z",
            "currency": "USD",
            "line_items": [{"id": 669751112, "price": "10.00", "quantity": 2}],
            "discount_codes": [{"code": "MARIE10"}],
            "note_attributes": [{"name": "souk_click", "value": "019283a0-7c1e-7a52-8d0c-5e1f6f0a4b11"}],
        },
        "refunds/create": {
            "id": 509562969,
            "order_id": 450789469,
            "refund_line_items": [{"line_item_id": 669751112, "quantity": 1, "subtotal": "10.00"}],
        },
    },
)
_POSTBACK = _described(
    shopify.POSTBACK,
    {},
    (shopify.Postback,),
    {
        "order": {
            "order_id": "1001",
            "amount": "20.00",
            "currency": "USD",
            "click_id": "019283a0-7c1e-7a52-8d0c-5e1f6f0a4b11",
            "ordered_at": "2017-09-21T10:00:00Z",
        },
        "later refund": {"order_id": "1001", "amount": "20.00", "currency": "USD", "refund": "5.00"},
    },
)


def routes(seal: Seal) -> Routes:
    """The router, for one seal of secrets."""
    router = Routes(prefix="/hooks", tags=["hooks"], public=True)

    @router.post("/shopify/{shop_id}", openapi_extra=_SHOPIFY)
    async def receive_shopify(shop_id: UUID, request: Request, work: WorkDep) -> Acknowledged:
        """Orders and refunds as Shopify sends them; the same one again changes nothing.

        No token: `X-Shopify-Hmac-Sha256` signs the body. An order is credited by a referral code in
        `discount_codes`, else by a click, whose id is the value of the note attribute `souk_click`.
        """
        shop = await _shop(work, shop_id, "shopify")
        body = await request.body()
        _expect_signed(request, shopify.SHOPIFY, body, seal.open(shop.secret))
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

    @router.post("/postback/{shop_id}", openapi_extra=_POSTBACK)
    async def receive_postback(shop_id: UUID, request: Request, work: WorkDep) -> Acknowledged:
        """One order, or what was refunded of it so far, as a server of the shop posts it.

        No token: `X-Souk-Signature` signs the body, a JSON object: `order_id`, `amount`, `currency`, and if
        known `click_id`, `code`, `ordered_at`, `updated_at`, `refund`; times are RFC 3339. Of several
        postbacks about one order the `amount` of the latest counts, by `updated_at`, else by `ordered_at`,
        whenever they arrive. Those without either, and those of the same instant, leave the first amount as
        it is. `refund` is what was given back so far, in all: it only grows.
        """
        shop = await _shop(work, shop_id, "postback")
        body = await request.body()
        _expect_signed(request, shopify.POSTBACK, body, seal.open(shop.secret))
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


def _expect_signed(request: Request, signature: shopify.Signature, body: bytes, secret: str) -> None:
    given = request.headers.get(signature.header)
    if given is None or not signature.is_of(body, secret, given):
        fault = "is missing" if given is None else "does not match the body"
        detail = f"{signature.header} {fault}: send {signature.wanted}"
        raise Refused(Reason.INVALID_SIGNATURE, detail)


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
