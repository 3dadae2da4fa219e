"""Rows of the services and answers to clients, for the tests of the rig's checks."""

import json
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from effects import Databases
from history import History, Outcome, Told

from souk.contracts.topic import Service

AT = datetime(2017, 2, 3, tzinfo=UTC)
MARIE, SPRING, THING, OTHER = (UUID(int=number) for number in (0xB1, 0xC1, 0xD1, 0xD2))


def history() -> History:
    """Of a suite whose clock stands at `AT`."""
    return History(clock=lambda: AT)


def ask(
    history: History,
    kind: str,
    outcome: Outcome,
    answer: dict[str, Any] | None = None,
    *,
    sent: int = 1,
    **subject: Any,
) -> Told:
    asked = history.ask(kind, **subject)
    asked.outcome, asked.sent, asked.answer = outcome, sent, answer or {}
    return asked


async def put(databases: Databases, service: Service, table: str, **row: Any) -> None:
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await databases[service].execute(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})",
        *row.values(),
    )


async def put_campaign(databases: Databases, **changes: Any) -> None:
    row = {
        "id": SPRING, "version": 1, "changed_at": AT, "created_at": AT, "budget_version": 1,
        "terms_version": 1, "terms_changed_at": AT, "advertiser_id": MARIE, "type": "social",
        "title": "Spring", "end_date": date(2017, 2, 6), "audience": "{}", "approval_mode": "auto",
        "multi_posting": True, "visibility": "public", "track_posts": True, "draft_required": False,
        "hashtags": [],
        "product_information": "", "post_requirements": "", "sample_urls": [], "rates": "{}",
        "cap": 15_000_000, "budget": 20_000_000, "currency": "USD", "margin": 0, "agency_margin": 0,
        "hold_days": 0, "window_days": 30, "opens_at": AT, "starts_at": AT,
        "ends_at": datetime(2017, 2, 7, tzinfo=UTC),
    }  # fmt: skip
    await databases["campaign"].execute(
        "INSERT INTO organisation (id, version, changed_at, created_at, kind, name, country, active)"
        " VALUES ($1, 1, $2, $2, 'advertiser', 'Brand', 'US', true) ON CONFLICT DO NOTHING",
        MARIE,
        AT,
    )
    await put(databases, "campaign", "campaign", **row | changes)


async def put_participation(databases: Databases, **changes: Any) -> None:
    row = {
        "id": THING, "version": 1, "created_at": AT, "changed_at": AT, "campaign_id": SPRING,
        "influencer_id": MARIE, "state": "joined", "applied_at": AT, "joined_at": AT,
    }  # fmt: skip
    await put(databases, "influencer", "participation", **row | changes)


async def put_code(databases: Databases, position: int, code: str) -> None:
    await put(
        databases, "influencer", "referral_code",
        campaign_id=SPRING, position=position, advertiser_id=UUID(int=position), code=code,
    )  # fmt: skip


async def put_post(databases: Databases, **changes: Any) -> None:
    row = {
        "id": THING, "version": 1, "changed_at": AT, "campaign_id": SPRING, "participation_id": OTHER,
        "influencer_id": MARIE, "account_id": MARIE, "platform": "youtube", "external_id": "1", "url": "",
        "title": "", "published_at": AT, "found_at": AT, "status": "effective", "counts": True,
        "observed_at": AT,
    }  # fmt: skip
    await put(databases, "tracking", "post", **row | changes)


async def put_link(databases: Databases, **changes: Any) -> None:
    row = {
        "id": OTHER, "version": 1, "changed_at": AT, "campaign_id": SPRING, "participation_id": OTHER,
        "slug": "spring", "url": "http://souk.example/r/spring",
    }  # fmt: skip
    await put(databases, "tracking", "link", **row | changes)


async def put_click(databases: Databases, **changes: Any) -> None:
    row = {
        "id": THING, "link_id": OTHER, "campaign_id": SPRING, "participation_id": OTHER, "visitor": "1",
        "bot": False, "clicked_at": AT, "verdict": "billable",
    }  # fmt: skip
    await put(databases, "tracking", "click", **row | changes)


async def put_order(databases: Databases, **line: Any) -> None:
    """Of a campaign's shop, numbered 1; `line`: net and refunded, in micros."""
    await put(
        databases, "tracking", "conversion",
        id=THING, version=1, changed_at=AT, campaign_id=SPRING, order_id="1", shop_id=OTHER, source="webhook",
        lines=json.dumps([line]),
    )  # fmt: skip


async def put_item(databases: Databases, **changes: Any) -> None:
    """What billing knows of a post."""
    row = {
        "id": THING, "kind": 1, "campaign_id": SPRING, "participation_id": OTHER, "arrival": 1,
        "folded": True, "version": 1, "changed_at": AT, "active": True, "asks": False, "would_count": True,
        "disputed": False, "name": "", "views": 0, "likes": 0, "comments": 0, "shares": 0, "units": 0,
        "worth": 0, "earned": 0, "capped": 0, "refused": 0, "payable": 0, "approved_worth": 0,
    }  # fmt: skip
    await put(databases, "billing", "item", **row | changes)


async def put_entry(databases: Databases, number: int, version: int) -> None:
    await put(
        databases, "billing", "entry",
        id=number, kind="accrual", influencer_id=MARIE, currency="USD", at=AT, recorded_at=AT,
        topic="tracking.posts.v1", subject=THING, subject_version=version, event="",
        rule_version=1, inputs="{}",
    )  # fmt: skip


async def put_payment(databases: Databases, of: UUID, run: date, version: int, status: str) -> None:
    await put(databases, "billing", "payment_run", run=run, cut_off=AT, started_at=AT, payments=1)
    await put(
        databases, "billing", "payment",
        id=of, version=version, status=status, run=run, influencer_id=MARIE, currency="USD", gross=1,
        withholding=0, consumption_tax=0, fee=0, net=1, carried=0, created_at=AT, changed_at=AT,
        paid_at=AT if status == "paid" else None,
    )  # fmt: skip


async def put_notice(
    databases: Databases, of: UUID, kind: str, subject: UUID, channel: str = "in_app"
) -> None:
    await put(
        databases, "notify", "delivery",
        id=of, version=1, influencer_id=MARIE, channel=channel, kind=kind, subject_ids=[subject],
        campaign_ids=[], status="sent", made_at=AT, changed_at=AT,
    )  # fmt: skip
