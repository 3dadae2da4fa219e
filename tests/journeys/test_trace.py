"""One trace goes from a request through outbox, Kafka and every consumer to the last effect."""

import json
import secrets
from collections.abc import Sequence
from uuid import uuid4

from collector import Span
from running import Suite, brief

from souk.contracts.topics.campaigns import CAMPAIGNS
from souk.local.standins.catalogue import channel_id

PATIENCE = 30.0
APPROVAL = ("campaign", "POST /v1/campaigns/{campaign_id}/approve")
EFFECTS = {
    ("campaign", "send campaign.campaigns.v1"): APPROVAL,
    **{
        (reader, "process campaign.campaigns.v1"): ("campaign", "send campaign.campaigns.v1")
        for reader in CAMPAIGNS.readers
    },
    ("billing", "send billing.budgets.v1"): ("billing", "process campaign.campaigns.v1"),
    **{
        (reader, "process billing.budgets.v1"): ("billing", "send billing.budgets.v1")
        for reader in ("campaign", "influencer", "notify")
    },
}
"""Each span that an approval leads to, by service and name, with the span that it is a child of."""


def place(span: Span) -> tuple[str, str]:
    return span.service, span.name


async def test_an_approval_is_one_trace_to_its_last_effect(suite: Suite) -> None:
    trace, client_span = secrets.token_hex(16), secrets.token_hex(8)
    suite.collector.watched.add(trace)
    advertiser = await suite.organisation("advertiser")
    draft = await suite.api("advertiser", organisation=advertiser).post("/v1/campaigns", brief("url"))
    await suite.settle()

    response = await suite.send(
        "POST",
        f"/v1/campaigns/{draft['id']}/approve",
        suite.token("staff"),
        headers={"idempotency-key": str(uuid4()), "traceparent": f"00-{trace}-{client_span}-01"},
    )
    assert response.status_code == 200
    await suite.settle()

    def complete(spans: Sequence[Span]) -> bool:
        return set(EFFECTS) | {APPROVAL} <= {place(span) for span in spans}

    spans = suite.collector.wait(trace, complete, PATIENCE)
    assert complete(spans), sorted((set(EFFECTS) | {APPROVAL}) - {place(span) for span in spans})
    by_id = {span.id: span for span in spans}
    (request,) = [span for span in spans if place(span) == APPROVAL]
    assert request.parent == client_span
    for span in spans:
        if place(span) in EFFECTS:
            assert place(by_id[span.parent]) == EFFECTS[place(span)]
    for span in spans:
        ancestor = span
        while ancestor.parent in by_id:
            ancestor = by_id[ancestor.parent]
        assert ancestor is request, f"{place(span)} hangs in the air"


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
