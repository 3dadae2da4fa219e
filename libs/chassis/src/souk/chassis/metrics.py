"""Every metric of a service, in one list: it makes the instruments on /metrics and docs/metrics.md.

`OUTBOX_ROWS.set(12)`, `HANDLER_SECONDS.labels(topic.name).observe(0.02)`: the constants are
prometheus_client instruments. A service adds its own with `counter`, `gauge` and `histogram`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

Kind = Literal["counter", "gauge", "histogram"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)
_SIZES = (1, 10, 50, 100, 250, 500, 1000)


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the list. Counters are scraped with `_total` after their name."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    help: str


METRICS: list[Metric] = []


def counter(name: str, unit: str, help_: str, labels: Sequence[str] = ()) -> Counter:
    METRICS.append(Metric(f"{name}_total", "counter", unit, tuple(labels), help_))
    return Counter(name, help_, labels)


def gauge(name: str, unit: str, help_: str, labels: Sequence[str] = ()) -> Gauge:
    METRICS.append(Metric(name, "gauge", unit, tuple(labels), help_))
    return Gauge(name, help_, labels)


def histogram(
    name: str, unit: str, help_: str, labels: Sequence[str] = (), buckets: Sequence[float] = _SECONDS
) -> Histogram:
    METRICS.append(Metric(name, "histogram", unit, tuple(labels), help_))
    return Histogram(name, help_, labels, buckets=buckets)


HTTP_REQUEST_SECONDS = histogram(
    "souk_http_request_duration_seconds",
    "seconds",
    "Requests answered, by route template, method and status",
    ("route", "method", "status"),
)
HTTP_REQUESTS_OPEN = gauge("souk_http_requests_open", "requests", "Requests being answered now")

OUTBOX_ROWS = gauge("souk_outbox_rows", "rows", "Outbox rows that wait for the broker's acknowledgement")
OUTBOX_AGE_SECONDS = gauge(
    "souk_outbox_age_seconds", "seconds", "For how long the oldest waiting outbox row has been waiting"
)
RELAY_BATCH_ROWS = histogram(
    "souk_relay_batch_rows", "rows", "Rows in one batch of the relay", buckets=_SIZES
)
RELAY_BATCH_SECONDS = histogram(
    "souk_relay_batch_duration_seconds", "seconds", "From reading a batch to its deletion"
)
RELAY_FAILURES = counter("souk_relay_failures", "failures", "Batches that were not acknowledged in time")

CONSUMER_LAG_RECORDS = gauge(
    "souk_consumer_lag_records", "records", "Records between the applied offset and the log's end", ("topic",)
)
CONSUMER_LAG_SECONDS = gauge(
    "souk_consumer_lag_seconds", "seconds", "Age of the oldest record that is not applied yet", ("topic",)
)
HANDLER_SECONDS = histogram(
    "souk_handler_duration_seconds", "seconds", "One topic's share of one batch, in its handler", ("topic",)
)
RECORDS_APPLIED = counter("souk_records_applied", "records", "Records applied", ("topic",))
BATCH_RETRIES = counter(
    "souk_batch_retries", "batches", "Batches tried again after a transient error", ("error",)
)

PARKED_RECORDS = gauge("souk_parked_records", "records", "Records that could not be applied", ("topic",))
BREAKER_OPEN = gauge(
    "souk_breaker_open",
    "0 or 1",
    "1 while the breaker holds a topic because too many were parked",
    ("topic",),
)

TIMERS_DUE = gauge("souk_timers_due", "timers", "Timers that are due and not done")
TIMER_FAILURES = counter(
    "souk_timer_failures", "failures", "Timers whose work failed and is tried again", ("kind",)
)
JOB_SECONDS = histogram(
    "souk_job_duration_seconds", "seconds", "A timer's work, jobs included", ("kind",), _LONG_SECONDS
)
