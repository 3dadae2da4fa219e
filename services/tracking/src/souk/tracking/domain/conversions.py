"""Orders: what they are worth, to whom they are credited, and whether they qualify (domain.md §5)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from souk.contracts.ids import CampaignId, InfluencerId, ParticipationId
from souk.contracts.money import Micros, divide_half_even
from souk.contracts.reasons import Reason
from souk.contracts.topics.conversions import ConversionVerdict, OrderLine

Source = Literal["shop", "postback"]


@dataclass(frozen=True, slots=True)
class Line:
    """net: price times quantity less its discounts, without tax and shipping, micros."""

    id: str
    quantity: int
    net: Micros


@dataclass(frozen=True, slots=True)
class RefundedLine:
    """What one refund gives back of one line.

    subtotal: micros after discounts; None when the shop does not say, then the line's share by quantity.
    tax: micros of tax within a subtotal whose prices include tax.
    """

    line_id: str
    quantity: int
    subtotal: Micros | None
    tax: int = 0


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund of an order; its id makes a replay harmless."""

    id: str
    order_id: str
    lines: tuple[RefundedLine, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """An order as its shop tells it.

    updated_at: of two tellings the later counts; one whose time is not known (None) never does beside
    another. taxes_included: prices are with tax (the lines' `net` is without). wholly_refunded: the shop
    says that nothing of it is left. refunded: micros given back in all, told by shops that name no lines;
    such an order has one line.
    """

    id: str
    ordered_at: datetime
    updated_at: datetime | None
    currency: str
    lines: tuple[Line, ...]
    codes: tuple[str, ...] = ()
    clicks: tuple[UUID, ...] = ()
    taxes_included: bool = False
    wholly_refunded: bool = False
    refunded: int = 0
    refunds: tuple[Refund, ...] = ()


def is_later(told: Order, known: Order) -> bool:
    """Whether `told` says what became of `known`; of the same instant it is but a replay."""
    if told.updated_at is None:
        return False
    return known.updated_at is None or told.updated_at > known.updated_at


def refunded_lines(order: Order, refunds: Iterable[Refund]) -> tuple[OrderLine, ...]:
    """The order's lines, each lowered by its own refunds and never below nothing."""
    given_back = dict.fromkeys((line.id for line in order.lines), 0)
    lines = {line.id: line for line in order.lines}
    for refund in refunds:
        for part in refund.lines:
            if part.line_id in lines:
                given_back[part.line_id] += _worth(part, lines[part.line_id], order.taxes_included)
    return tuple(
        OrderLine(
            id=line.id,
            net=line.net,
            refunded=line.net
            if order.wholly_refunded
            else Micros(min(line.net, max(order.refunded, given_back[line.id]))),
        )
        for line in order.lines
    )


def _worth(part: RefundedLine, line: Line, taxes_included: bool) -> int:
    if part.subtotal is not None:
        return max(0, part.subtotal - (part.tax if taxes_included else 0))
    if part.quantity >= line.quantity:
        return line.net
    return divide_half_even(line.net * part.quantity, line.quantity)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A participation that an order may be credited to."""

    id: ParticipationId
    influencer_id: InfluencerId
    joined: bool
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class Touch:
    """A click that an order names."""

    id: UUID
    campaign_id: CampaignId
    participation_id: ParticipationId
    clicked_at: datetime


@dataclass(frozen=True, slots=True)
class Credit:
    """What an order was given for a click, which may be kept no longer."""

    participation_id: ParticipationId
    in_window: bool


@dataclass(frozen=True, slots=True)
class Terms:
    """What the campaign says about orders."""

    id: CampaignId
    currency: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    window: timedelta


@dataclass(frozen=True, slots=True)
class Decision:
    participation: Candidate | None
    attribution: Literal["code", "click"] | None
    verdict: ConversionVerdict
    reason: Reason | None = None


def attribute(
    order: Order,
    terms: Terms,
    by_code: Mapping[str, Candidate],
    touches: Sequence[Touch],
    participations: Mapping[ParticipationId, Candidate],
    credit: Credit | None,
) -> Decision:
    """Who is credited with `order`, and whether it qualifies.

    by_code: participations of this campaign by casefolded code. touches: the clicks that the order names
    and that are known. credit: what it was given for a click, which stands when that click is known no
    more. An explicit code beats a click; of several clicks the last inside the window wins.
    """
    for code in order.codes:
        if (found := by_code.get(code.casefold())) is not None:
            return _judge(order, terms, found, "code")
    own = [
        touch
        for touch in touches
        if touch.campaign_id == terms.id and touch.participation_id in participations
    ]
    inside = [touch for touch in own if _within(touch, order.ordered_at, terms.window)]
    if inside:
        last = max(inside, key=lambda touch: (touch.clicked_at, touch.id))
        return _judge(order, terms, participations[last.participation_id], "click")
    gone = {touch.id for touch in touches} < set(order.clicks)
    if gone and credit is not None and credit.in_window:
        return _judge(order, terms, participations[credit.participation_id], "click")
    if own:
        last = max(own, key=lambda touch: (touch.clicked_at, touch.id))
        return Decision(participations[last.participation_id], "click", "unqualified", Reason.OUT_OF_WINDOW)
    if gone and credit is not None:
        credited = participations[credit.participation_id]
        return Decision(credited, "click", "unqualified", Reason.OUT_OF_WINDOW)
    return Decision(None, None, "unqualified", Reason.UNKNOWN_CODE)


def _within(touch: Touch, ordered_at: datetime, window: timedelta) -> bool:
    # Shops tell times in whole seconds, cut off: a click of the same second is before the order.
    return touch.clicked_at.replace(microsecond=0) <= ordered_at < touch.clicked_at + window


def _judge(
    order: Order, terms: Terms, credited: Candidate, attribution: Literal["code", "click"]
) -> Decision:
    reason = None
    if order.currency != terms.currency:
        reason = Reason.CURRENCY
    elif (
        terms.starts_at is None
        or terms.ends_at is None
        or not terms.starts_at <= order.ordered_at < terms.ends_at
    ):
        reason = Reason.OUTSIDE_PERIOD
    elif not credited.joined and (credited.withdrawn_at is None or credited.withdrawn_at <= order.ordered_at):
        reason = Reason.WRONG_STATE
    return Decision(credited, attribution, "unqualified" if reason else "qualified", reason)
