"""A shop that sends what Shopify sends: orders and refunds, signed (`X-Shopify-Hmac-Sha256`).

Only what has a meaning for attribution and commission varies; the rest is as in a recorded order.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

Topic = Literal["orders/create", "orders/updated", "refunds/create"]
TAX = Decimal("0.06")


@dataclass(frozen=True, slots=True)
class Item:
    """price, discount: per piece, and of the whole line; in the order's currency."""

    id: int
    price: Decimal
    quantity: int = 1
    discount: Decimal = Decimal(0)

    @property
    def net(self) -> Decimal:
        return self.price * self.quantity - self.discount


@dataclass(frozen=True, slots=True)
class Webhook:
    """A request that the shop makes: its raw body and its headers."""

    body: bytes
    headers: Mapping[str, str]


def order(
    number: int,
    at: datetime,
    items: Sequence[Item],
    *,
    currency: str = "USD",
    code: str | None = None,
    click: str | None = None,
    shipping: Decimal = Decimal("4.95"),
) -> dict[str, Any]:
    """An order as Shopify's Admin API shows it. code: a discount code. click: the click that led here."""
    subtotal = sum((item.net for item in items), Decimal(0))
    tax = (subtotal * TAX).quantize(Decimal("0.01"))
    discounts = sum((item.discount for item in items), Decimal(0))
    return {
        "id": number,
        "name": f"#{number}",
        "order_number": number,
        "created_at": at.isoformat(),
        "updated_at": at.isoformat(),
        "processed_at": at.isoformat(),
        "currency": currency,
        "email": f"customer-{number}@example.com",
        "financial_status": "paid",
        "fulfillment_status": None,
        "cancelled_at": None,
        "test": False,
        "taxes_included": False,
        "subtotal_price": str(subtotal),
        "total_tax": str(tax),
        "total_discounts": str(discounts),
        "total_price": str(subtotal + tax + shipping),
        "discount_codes": [{"code": code, "amount": str(discounts), "type": "fixed_amount"}] if code else [],
        "note_attributes": [{"name": "souk_click", "value": click}] if click else [],
        "line_items": [_line(item) for item in items],
        "shipping_lines": [{"code": "Standard", "price": str(shipping), "title": "Standard"}],
        "refunds": [],
    }


def refund(number: int, of: Mapping[str, Any], at: datetime, quantities: Mapping[int, int]) -> dict[str, Any]:
    """A refund of pieces of an order's lines: `quantities` by line id."""
    lines: list[dict[str, Any]] = []
    for line in of["line_items"]:
        quantity = quantities.get(line["id"], 0)
        if quantity:
            discount = sum((Decimal(each["amount"]) for each in line["discount_allocations"]), Decimal(0))
            net = Decimal(line["price"]) * line["quantity"] - discount
            subtotal = (net * quantity / line["quantity"]).quantize(Decimal("0.01"))
            lines.append(
                {
                    "id": number * 100 + len(lines),
                    "line_item_id": line["id"],
                    "quantity": quantity,
                    "subtotal": str(subtotal),
                    "total_tax": str((subtotal * TAX).quantize(Decimal("0.01"))),
                    "line_item": line,
                }
            )
    return {
        "id": number,
        "order_id": of["id"],
        "created_at": at.isoformat(),
        "note": "returned",
        "refund_line_items": lines,
        "order_adjustments": [],
        "transactions": [
            {
                "order_id": of["id"],
                "kind": "refund",
                "status": "success",
                "amount": str(sum((Decimal(line["subtotal"]) for line in lines), Decimal(0))),
                "currency": of["currency"],
            }
        ],
    }


def sign(topic: Topic, content: Mapping[str, Any], secret: str, webhook_id: str, shop: str) -> Webhook:
    """The webhook for `content`, signed with the shop's secret."""
    body = json.dumps(content, separators=(",", ":")).encode()
    digest = hmac.digest(secret.encode(), body, hashlib.sha256)
    return Webhook(
        body,
        {
            "content-type": "application/json",
            "x-shopify-topic": topic,
            "x-shopify-hmac-sha256": base64.b64encode(digest).decode(),
            "x-shopify-webhook-id": webhook_id,
            "x-shopify-shop-domain": shop,
        },
    )


def _line(item: Item) -> dict[str, Any]:
    discounted = [{"amount": str(item.discount), "discount_application_index": 0}] if item.discount else []
    return {
        "id": item.id,
        "price": str(item.price),
        "quantity": item.quantity,
        "title": "Scarf",
        "sku": f"SCARF-{item.id}",
        "taxable": True,
        "total_discount": "0.00",
        "discount_allocations": discounted,
    }
