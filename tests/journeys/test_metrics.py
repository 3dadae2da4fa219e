"""What every service tells about its work, after some of it."""

import asyncio
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families
from running import Suite, brief

from souk.contracts.topic import SERVICES

PATIENCE = 30.0
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scrape(suite: Suite, service: str) -> Samples:
    response = await suite.client.get(f"{suite.address(service)}/metrics")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.raise_for_status().text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    return sum(
        value
        for (each, its), value in samples.items()
        if each == name and labels.items() <= dict(its).items()
    )


@pytest.fixture(scope="module")
async def traffic(suite: Suite) -> None:
    advertiser = await suite.organisation("advertiser")
    api = suite.api("advertiser", organisation=advertiser)
    draft = await api.post("/v1/campaigns", brief("url"))
    await suite.api("staff").post(f"/v1/campaigns/{draft['id']}/approve")
    await suite.settle()


@pytest.mark.usefixtures("traffic")
@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_tells_of_outbox_lag_parked_records_and_durations(suite: Suite, service: str) -> None:
    deadline = time.monotonic() + PATIENCE
    samples = await scrape(suite, service)
    while total(samples, "souk_parked_records") < (await parked(suite, service)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
        samples = await scrape(suite, service)

    named = {name for name, _ in samples}
    assert total(samples, "souk_outbox_rows") == total(samples, "souk_outbox_age_seconds") == 0
    assert {"souk_consumer_lag_records", "souk_consumer_lag_seconds", "souk_parked_records"} <= named
    assert total(samples, "souk_handler_duration_seconds_count") > 0
    assert total(samples, "souk_records_applied_total") > 0
    if service != "notify":
        assert total(samples, "souk_relay_batch_rows_sum") > 0


@pytest.mark.usefixtures("traffic")
async def test_requests_are_measured_by_route_and_status(suite: Suite) -> None:
    samples = await scrape(suite, "campaign")

    route = {"route": "/v1/campaigns/{campaign_id}/approve", "method": "POST", "status": "200"}
    assert total(samples, "souk_http_request_duration_seconds_count", **route) >= 1


async def parked(suite: Suite, service: str) -> int:
    response = await suite.client.get(f"{suite.address(service)}/internal/pulse")
    return int(response.raise_for_status().json()["parked"])
