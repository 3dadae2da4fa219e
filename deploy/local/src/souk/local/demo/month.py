"""The month, played: what people and shops did, in the order of the clock."""

import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID, uuid5

from souk.local.demo import plan as p
from souk.local.demo.api import Api, Refused
from souk.local.demo.plan import Campaign, Plan
from souk.local.demo.progress import Progress
from souk.local.demo.shopping import Shops, clicks_of, orders_of
from souk.local.errors import StackError
from souk.local.standins.catalogue import channel_id

Ids = dict[str, str]
"""Campaigns' ids by name."""

IMPORT = 200
# One before the period and one after it.
TRADING_DAYS = ((9, 19), (9, 24), (10, 3), (10, 14), (10, 17))


@dataclass(frozen=True, slots=True)
class Suite:
    """The running suite, as the month uses it.

    advance: moves the suite's clock to an instant and returns when the suite is quiet again.
    push_url: of the push service that browsers in this play subscribed to.
    """

    staff: Api
    gateway: str
    push_url: str
    advance: Callable[[datetime], Awaitable[None]]


async def play(suite: Suite, plan: Plan, seed: int, progress: Progress) -> Ids:
    """From the first sign-up to the refund after the payout. The clock stands at `plan.OPENING`."""
    progress.says(f"{len(plan.channels)} influencers sign up and connect their accounts")
    await _sign_up(suite, plan)
    await suite.advance(p.APPROVED)
    progress.says("a brand drafts five campaigns; they are approved")
    ids = await _draft(suite, plan, await _advertiser(suite))
    shops = Shops(suite.gateway, await _open_shops(suite, ids, seed))
    await _approve(suite, plan, ids)
    await suite.advance(p.JOINED)
    progress.says("creators join and apply")
    for campaign in plan.campaigns:
        await _join(suite, plan, campaign, ids[campaign.name])
    await suite.advance(p.JOINED)
    progress.says("posts are found and measured day by day; visitors click, customers order")
    await _trade(suite, ids, shops, random.Random(seed))
    await suite.advance(p.POSTS_APPROVED)
    progress.says("posts are approved")
    for name in ("A", "B"):
        await _approve_posts(suite, ids[name])
    await suite.advance(p.PAID)
    progress.says("payments are made")
    await _pay(suite)
    await suite.advance(p.LATE_REFUND)
    progress.says("an order is refunded after the payout")
    await shops.refund_late()
    await suite.advance(p.CLOSING)
    return ids


async def _sign_up(suite: Suite, plan: Plan) -> None:
    for channels in _portions(plan.channels):
        await suite.staff.post("/v1/influencers/import", {"items": [_profile(suite, c) for c in channels]})
    await suite.advance(p.OPENING)
    for channels in _portions(plan.channels):
        accounts = [
            {
                "influencer_id": str(p.influencer_id(channel)),
                "platform": "youtube",
                "external_id": channel_id(channel),
            }
            for channel in channels
        ]
        done = await suite.staff.post("/v1/accounts/import", {"items": accounts})
        if done["refused"]:
            raise StackError(f"accounts were refused: {done['refused'][:3]}")
    await suite.advance(p.OPENING)


def _profile(suite: Suite, channel: str) -> dict[str, Any]:
    number = p.influencer_id(channel)
    return {
        "id": str(number),
        "display_name": channel,
        "country": "US",
        "contact": {
            "email": f"{number}@creators.example",
            "locale": ("en", "ja", "th")[number.int % 3],
            "push": [_subscription(suite, number)] if number.int % 50 == 0 else [],
        },
        "payee": {"country": "US", "payment_mode": "automatic"},
    }


def _subscription(suite: Suite, number: UUID) -> dict[str, str]:
    """As a browser makes one; the keys are those of RFC 8291's appendix A."""
    return {
        "endpoint": f"{suite.push_url}/push/{number}",
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    }


async def _advertiser(suite: Suite) -> str:
    made = await suite.staff.post(
        "/v1/organisations",
        {
            "id": str(uuid5(p.NAMESPACE, "organisation:brand")),
            "kind": "advertiser",
            "name": "Autumn & Co",
            "country": "US",
        },
    )
    return str(made["id"])


async def _draft(suite: Suite, plan: Plan, advertiser: str) -> Ids:
    ids = {}
    for campaign in plan.campaigns:
        drafted = await suite.staff.post("/v1/campaigns", {**campaign.brief, "advertiser_id": advertiser})
        ids[campaign.name] = str(drafted["id"])
    await suite.advance(p.APPROVED)
    return ids


async def _open_shops(suite: Suite, ids: Ids, seed: int) -> dict[str, dict[str, str]]:
    """The shops' ids and secrets, by campaign."""
    return {
        name: await _open_shop(suite, ids[name], kind, f"{name.lower()}.example", f"secret:{seed}:{name}")
        for name, kind in (("C", "postback"), ("D", "shopify"), ("E", "shopify"))
    }


async def _open_shop(suite: Suite, campaign: str, kind: str, domain: str, seeded: str) -> dict[str, str]:
    """The secret is the shop's own: an answer that shows one comes once, and may be lost on the way."""
    secret = uuid5(p.NAMESPACE, seeded).hex
    asked = {"campaign_id": campaign, "kind": kind, "domain": domain, "secret": secret}
    try:
        opened = await suite.staff.post("/v1/shops", asked)
    except Refused as refused:
        if refused.reason != "conflict":
            raise
        [opened] = [shop async for shop in suite.staff.pages("/v1/shops", campaign_id=campaign)]
    return {"id": str(opened["id"]), "secret": secret}


async def _approve(suite: Suite, plan: Plan, ids: Ids) -> None:
    for name, codes in (("D", plan.codes), ("E", plan.creator_codes)):
        await suite.staff.post("/v1/referral-codes", {"campaign_id": ids[name], "codes": list(codes)})
    for campaign in ids.values():
        await suite.staff.post(f"/v1/campaigns/{campaign}/approve")
    await suite.advance(p.APPROVED)


async def _join(suite: Suite, plan: Plan, campaign: Campaign, this: str) -> None:
    for channels in _portions(campaign.channels):
        await suite.staff.post(
            "/v1/participations/import",
            {"campaign_id": this, "influencer_ids": [str(p.influencer_id(c)) for c in channels]},
        )
    if campaign.brief["approval_mode"] == "manual":
        await suite.staff.post("/v1/participations/approve", {"campaign_id": this, "state": "applied"})
    if campaign.name == "E":
        by_influencer = {
            str(p.influencer_id(channel)): commission
            for channel, commission in zip(campaign.channels, plan.commissions, strict=False)
        }
        async for participation in suite.staff.pages("/v1/participations", campaign_id=this):
            await suite.staff.patch(
                f"/v1/participations/{participation['id']}",
                {"commission": by_influencer[participation["influencer_id"]]},
            )


async def _trade(suite: Suite, ids: Ids, shops: Shops, chance: random.Random) -> None:
    """Clicks and orders on some days, before, in and after the period."""
    links = [link async for link in suite.staff.pages("/v1/links", campaign_id=ids["C"])]
    links.sort(key=lambda link: str(link["influencer_id"]))
    codes = {name: await _codes(suite, ids[name]) for name in ("D", "E")}
    for month, day in TRADING_DAYS:
        instant = datetime(2017, month, day, 18, tzinfo=UTC)
        await suite.advance(instant)
        await shops.visit(clicks_of(links, instant, chance), chance, partial(suite.advance, instant))
        await shops.order(orders_of(codes, instant, chance))
        await suite.advance(instant)
    await shops.refund_early()


async def _codes(suite: Suite, campaign: str) -> Sequence[str]:
    found = [
        item["referral_code"]
        async for item in suite.staff.pages("/v1/participations", campaign_id=campaign, state="joined")
    ]
    return sorted(code for code in found if code)


async def _approve_posts(suite: Suite, campaign: str) -> None:
    """All posts that are undecided; the API approves some at a time and says how many are left."""
    asked = {"campaign_id": campaign, "statuses": ["effective", "warning"]}
    for turn in count(1):
        if not (await suite.staff.post("/v1/posts/approve", asked, turn=turn))["left"]:
            return


async def _pay(suite: Suite) -> None:
    """All payments of the run; the API settles some at a time and says how many are left."""
    for turn in count(1):
        if not (await suite.staff.post(f"/v1/payment-runs/{p.PAYMENT_RUN}/paid", turn=turn))["left"]:
            return


def _portions(channels: Sequence[str]) -> Iterator[Sequence[str]]:
    return (channels[start : start + IMPORT] for start in range(0, len(channels), IMPORT))
