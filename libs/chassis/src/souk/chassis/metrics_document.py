"""docs/metrics.md from the list: `python -m souk.chassis.metrics_document > docs/metrics.md`."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

from souk.chassis.metrics import METRICS
from souk.contracts.topic import SERVICES


def document() -> str:
    """The chassis' metrics and those of each installed service's `metrics` module, in Markdown."""
    for service in SERVICES:
        if find_spec(f"souk.{service}") and find_spec(f"souk.{service}.metrics"):
            import_module(f"souk.{service}.metrics")
    # Whoever was imported first is listed first: not an order to rely on.
    listed = sorted(METRICS, key=lambda metric: _owner(metric.name))
    rows = "\n".join(f"| `{m.name}` | {m.kind} | {m.unit} | {_code(m.labels)} | {m.help} |" for m in listed)
    return f"""# Metrics

Every service offers these on `/metrics` of its own port (not through the gateway), in the Prometheus text
format. Generated from `souk.chassis.metrics`: `python -m souk.chassis.metrics_document > docs/metrics.md`.

| metric | kind | unit | labels | what it is |
|---|---|---|---|---|
{rows}
"""


def _owner(name: str) -> int:
    """Where the service that has the metric stands in the list of services; before them the chassis."""
    found = (number for number, service in enumerate(SERVICES) if name.startswith(f"souk_{service}_"))
    return next(found, -1)


def _code(labels: Sequence[str]) -> str:
    return ", ".join(f"`{label}`" for label in labels) or "–"


if __name__ == "__main__":
    sys.stdout.write(document())
