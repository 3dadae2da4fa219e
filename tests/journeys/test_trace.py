"""One trace goes from a request through outbox, Kafka and every consumer to the last effect."""

import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from uuid import uuid4

from collector import Span
from running import Suite, brief

from souk.contracts.topics.campaigns import CAMPAIGNS
from souk.local.standins.catalogue import channel_id

PATIENCE = 30.0
APPROVAL = ("campaign", "POST /v1/campaigns/{campaign_id}/approve")
CAMPAIGN_SENT = ("campaign", "send campaign.campaigns.v1")
BUDGET_SENT = ("billing", "send billing.budgets.v1")
ANNOUNCING = (("influencer", "job announce.upcoming"), ("influencer", "job announce.started"))
ANNOUNCEMENT_SENT = ("influencer", "send influencer.announcements.v1")
ANNOUNCEMENT_READ = ("notify", "process influencer.announcements.v1")
DELIVERING = ("notify", "job announcements.deliver")
CHANNELS = ("email", "push")
STEPS = {
    (APPROVAL, CAMPAIGN_SENT),
    *((CAMPAIGN_SENT, (reader, "process campaign.campaigns.v1")) for reader in CAMPAIGNS.readers),
    (("billing", "process campaign.campaigns.v1"), BUDGET_SENT),
    *(
        (BUDGET_SENT, (reader, "process billing.budgets.v1"))
        for reader in ("campaign", "influencer", "notify")
    ),
    *((("influencer", "process campaign.campaigns.v1"), job) for job in ANNOUNCING),
    *((job, ANNOUNCEMENT_SENT) for job in ANNOUNCING),
    (ANNOUNCEMENT_SENT, ANNOUNCEMENT_READ),
    (ANNOUNCEMENT_READ, DELIVERING),
    *((DELIVERING, ("notify", f"job deliveries.{channel}")) for channel in CHANNELS),
    *((("notify", f"job deliveries.{channel}"), ("notify", f"deliver {channel}")) for channel in CHANNELS),
    *(
        (("notify", f"job deliveries.{channel}"), ("notify", "send notify.deliveries.v1"))
        for channel in CHANNELS
    ),
}
"""What an approval leads to until the campaign starts: a span and one that it causes, by service and name."""
BROWSER = {
    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
}
"""The keys of RFC 8291's appendix A."""


def place(span: Span) -> tuple[str, str]:
    return span.service, span.name


async def test_an_approval_is_one_trace_to_its_last_effect(suite: Suite) -> None:
    trace, client_span = secrets.token_hex(16), secrets.token_hex(8)
    suite.collector.watched.add(trace)
    advertiser = await suite.organisation("advertiser")
    person = uuid4()
    push = {"endpoint": f"{suite.address('standins')}/push/{person}", **BROWSER}
    contact = {"email": f"{person}@creators.example", "push": [push]}
    profile = {"id": str(person), "display_name": "Reader", "contact": contact}
    await suite.api("staff").post("/v1/influencers", profile)
    batch = datetime.combine(suite.now.date() + timedelta(days=2), time(1), UTC)
    period = {"start_date": f"{batch:%F}", "end_date": f"{batch + timedelta(days=9):%F}"}
    draft = await suite.api("advertiser", organisation=advertiser).post(
        "/v1/campaigns", brief("url", **period)
    )
    await suite.settle()

    response = await suite.send(
        "POST",
        f"/v1/campaigns/{draft['id']}/approve",
        suite.token("staff"),
        headers={"idempotency-key": str(uuid4()), "traceparent": f"00-{trace}-{client_span}-01"},
    )
    assert response.status_code == 200
    await suite.settle()
    await suite.advance(batch)

    def steps(spans: Sequence[Span]) -> set[tuple[tuple[str, str], tuple[str, str]]]:
        by_id = {span.id: place(span) for span in spans}
        return {(by_id[span.parent], place(span)) for span in spans if span.parent in by_id}

    def hanging(spans: Sequence[Span]) -> set[tuple[str, str]]:
        known = {span.id for span in spans} | {client_span}
        return {place(span) for span in spans if span.parent not in known}

    def complete(spans: Sequence[Span]) -> bool:
        return steps(spans) >= STEPS and not hanging(spans)

    spans = suite.collector.wait(trace, complete, PATIENCE)
    assert STEPS - steps(spans) == set()
    assert hanging(spans) == set()
    assert [place(span) for span in spans if span.parent == client_span] == [APPROVAL]
    effects = {effect for _, effect in STEPS} - {("notify", "send notify.deliveries.v1")}
    assert {step for step in steps(spans) if step[1] in effects} <= STEPS


async def test_what_a_handler_logs_names_the_trace(suite: Suite) -> None:
    trace = secrets.token_hex(16)
    (person,) = await suite.creators("Maker 5")
    faults = f"{suite.address('standins')}/faults"
    fault = {"path_prefix": "/youtube/v3/channels", "status": 400, "reason": "badRequest", "times": 1}
    (await suite.client.post(faults, json=fault)).raise_for_status()

    response = await suite.send(
        "POST",
        "/v1/accounts",
        suite.token("influencer", influencer=person),
        json={"influencer_id": str(person), "external_id": channel_id("Maker 5")},
        headers={"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"},
    )

    (await suite.client.delete(faults)).raise_for_status()
    assert response.status_code == 502
    lines = [
        json.loads(line) for line in suite.folder.log("tracking").read_text().splitlines() if trace in line
    ]
    assert [line["message"] for line in lines] == ["youtube refused a call"]
    assert lines[0]["trace_id"] == trace
    assert lines[0]["service"] == "tracking"
