"""Shopify's webhooks (https://shopify.dev/docs/api/admin-rest: Order, Refund) and plain postbacks, read.

Only what attribution and commission need is looked at; everything that is used is checked.
"""

import base64
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from souk.contracts.money import MICROS, Micros, format_amount, parse_amount
from souk.tracking.domain.conversions import Line, Order, Refund, RefundedLine
from souk.tracking.domain.links import CLICK_PARAMETER

ORDER_TOPICS = ("orders/create", "orders/paid", "orders/updated")
REFUND_TOPIC = "refunds/create"
_NOTHING_LEFT = {"refunded", "voided"}
_MOST_CODES = 20
MOST_OF_AN_ORDER = Micros(10_000_000 * MICROS)
"""Its lines in all. Sums of orders are kept in 64 bits, and one that does not fit would stop its readers."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A header with the HMAC-SHA256 of a body's bytes, keyed with the text of the shop's secret.

    form: how `write` writes the digest, for people.
    """

    header: str
    form: str
    write: Callable[[bytes], str]

    @property
    def wanted(self) -> str:
        return f"the HMAC-SHA256 of the body's bytes as sent, keyed with the shop's secret, {self.form}"

    def is_of(self, body: bytes, secret: str, given: str) -> bool:
        """Compared in constant time."""
        expected = self.write(hmac.digest(secret.encode(), body, sha256))
        return hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))


SHOPIFY = Signature("X-Shopify-Hmac-Sha256", "in base64", lambda digest: base64.b64encode(digest).decode())
POSTBACK = Signature(
    "X-Souk-Signature", "as `sha256=` and hexadecimal digits", lambda digest: f"sha256={digest.hex()}"
)


def _amount(value: object) -> Micros:
    return parse_amount(str(value))


def _text(value: object) -> str:
    """Ids are numbers in most of Shopify's answers and strings in others."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("an id is a number or a string")
    return str(value)


Money = Annotated[
    Micros,
    BeforeValidator(_amount),
    WithJsonSchema(
        {"type": "string", "description": "decimal with at most six places", "examples": ["9.90"]}
    ),
]
# The bounds come first: only so does Pydantic look at them itself, and refuse what UTF-8 cannot hold.
Id = Annotated[
    str,
    Field(min_length=1, max_length=100),
    BeforeValidator(_text),
    WithJsonSchema({"type": ["integer", "string"], "minLength": 1, "maxLength": 100}),
]
Time = Annotated[
    AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))
]
"""No shop sold anything outside, and at the ends of the calendar a time has no UTC."""
Quantity = Annotated[int, Field(ge=0, le=1_000_000)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Discount(_Part):
    amount: Money


class _Tax(_Part):
    price: Money


class _LineItem(_Part):
    id: Id
    price: Money
    quantity: Quantity
    discount_allocations: Annotated[list[_Discount], Field(max_length=100)] = []
    tax_lines: Annotated[list[_Tax], Field(max_length=100)] = []


class _Code(_Part):
    code: Annotated[str, Field(max_length=200)]


class _Attribute(_Part):
    name: str = ""
    value: Any = None


class _RefundedItem(_Part):
    line_item_id: Id
    quantity: Quantity
    subtotal: Money | None = None
    total_tax: Money | None = None


class RefundTold(_Part):
    id: Id
    order_id: Id
    refund_line_items: Annotated[list[_RefundedItem], Field(max_length=500)] = []

    def as_refund(self) -> Refund:
        return Refund(
            self.id,
            self.order_id,
            tuple(
                RefundedLine(line.line_item_id, line.quantity, line.subtotal, line.total_tax or 0)
                for line in self.refund_line_items
            ),
        )


class OrderTold(_Part):
    id: Id
    created_at: Time
    updated_at: Time | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    financial_status: str | None = None
    taxes_included: bool = False
    line_items: Annotated[list[_LineItem], Field(max_length=500)]
    discount_codes: Annotated[
        list[_Code], Field(max_length=100, description="where a referral code goes; it beats a click")
    ] = []
    note_attributes: Annotated[
        list[_Attribute],
        Field(max_length=200, description=f"where a click's id goes: the value of `{CLICK_PARAMETER}`"),
    ] = []
    refunds: Annotated[list[RefundTold], Field(max_length=200)] = []

    @property
    def lines(self) -> tuple[Line, ...]:
        return tuple(_line(line, taxes_included=self.taxes_included) for line in self.line_items)

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        _expect_bounded(sum(line.net for line in self.lines))
        return self


def read_order(content: Mapping[str, Any]) -> Order:
    """An order as a webhook brings it, or wrapped in `order` as the REST API shows it.

    Raises pydantic.ValidationError when it is none.
    """
    told = OrderTold.model_validate(content.get("order", content))
    return Order(
        id=told.id,
        ordered_at=told.created_at.astimezone(UTC),
        updated_at=(told.updated_at or told.created_at).astimezone(UTC),
        currency=told.currency,
        lines=told.lines,
        codes=tuple(each.code.strip() for each in told.discount_codes[:_MOST_CODES] if each.code.strip()),
        clicks=tuple(
            click
            for each in told.note_attributes
            if each.name == CLICK_PARAMETER and (click := _click(each.value)) is not None
        )[:_MOST_CODES],
        taxes_included=told.taxes_included,
        wholly_refunded=told.financial_status in _NOTHING_LEFT,
        refunds=tuple(refund.as_refund() for refund in told.refunds),
    )


def read_refund(content: Mapping[str, Any]) -> Refund:
    """Raises pydantic.ValidationError when it is none."""
    return RefundTold.model_validate(content.get("refund", content)).as_refund()


def _expect_bounded(total: int) -> None:
    if total > MOST_OF_AN_ORDER:
        raise ValueError(f"an order is worth {format_amount(MOST_OF_AN_ORDER)} at most")


def _line(told: _LineItem, *, taxes_included: bool) -> Line:
    net = told.price * told.quantity - sum(each.amount for each in told.discount_allocations)
    if taxes_included:
        net -= sum(each.price for each in told.tax_lines)
    return Line(told.id, max(1, told.quantity), Micros(max(0, net)))


def _click(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


class Postback(BaseModel):
    """What a shop without Shopify posts for an order, and again when some of it was refunded.

    amount: of the whole order, without tax and shipping. refund: given back of it so far, in all.
    updated_at: when the shop last changed the order; of two postbacks the later one's amount counts.
    """

    model_config = ConfigDict(extra="forbid")

    order_id: Annotated[str, Field(min_length=1, max_length=100)]
    click_id: Annotated[
        UUID | None, Field(description=f"the `{CLICK_PARAMETER}` with which the landing page was opened")
    ] = None
    code: Annotated[
        Annotated[str, Field(min_length=1, max_length=200)] | None,
        Field(description="a referral code; it beats a click"),
    ] = None
    amount: Annotated[Money, Field(ge=0)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    ordered_at: Time | None = None
    updated_at: Time | None = None
    refund: Annotated[Money, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        _expect_bounded(self.amount)
        return self

    def as_order(self, now: datetime) -> Order:
        """One line. `now` is the order's time when the shop does not say it."""
        updated_at = self.updated_at or self.ordered_at
        return Order(
            id=self.order_id,
            ordered_at=(self.ordered_at or now).astimezone(UTC),
            updated_at=updated_at.astimezone(UTC) if updated_at else None,
            currency=self.currency,
            lines=(Line("order", 1, self.amount),),
            codes=(self.code.strip(),) if self.code and self.code.strip() else (),
            clicks=(self.click_id,) if self.click_id else (),
            refunded=self.refund or Micros(0),
        )
