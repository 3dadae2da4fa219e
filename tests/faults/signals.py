"""What the alerts look at, on `/metrics` of the processes that run: which samples, and the bound that these
are held against, are read from the expressions in deploy/observability/alerts.yaml.

No PromQL is evaluated here. A test does with the samples what its alert's expression says.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import eq, gt, lt
from pathlib import Path
from typing import Any

import httpx
import promql_parser as promql
import yaml
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import MatchOp as Match

RULES = Path(__file__).parents[2] / "deploy/observability/alerts.yaml"

Series = tuple[str, frozenset[tuple[str, str]]]
"""A metric's name and its labels."""
Samples = Mapping[Series, float]

_COMPARISONS = {">": gt, "<": lt, "==": eq}


@dataclass(frozen=True, slots=True)
class Selector:
    """What an expression takes of a metric. matchers: label, operator and what it is held against."""

    name: str
    matchers: tuple[tuple[str, Any, str], ...]

    def values(self, samples: Samples, **labels: str) -> list[float]:
        """Of the samples that it takes and that have these `labels`."""
        return [
            value
            for (name, found), value in samples.items()
            if name == self.name and self._takes(dict(found)) and labels.items() <= dict(found).items()
        ]

    def _takes(self, labels: Mapping[str, str]) -> bool:
        return all(_fits(how, wanted, labels.get(label, "")) for label, how, wanted in self.matchers)


def _fits(how: Any, wanted: str, value: str) -> bool:
    is_it = re.fullmatch(wanted if how in (Match.Re, Match.NotRe) else re.escape(wanted), value)
    return (is_it is None) == (how in (Match.NotEqual, Match.NotRe))


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison with a number, as it stands in an expression. quantile: that of a `histogram_quantile`."""

    selectors: tuple[Selector, ...]
    comparison: str
    bound: float
    quantile: float | None

    def holds(self, value: float) -> bool:
        return bool(_COMPARISONS[self.comparison](value, self.bound))

    def highest(self, samples: Samples, **labels: str) -> float:
        """Of a gauge, among the processes; 0 when none tells of it."""
        return max(
            (value for each in self.selectors for value in each.values(samples, **labels)), default=0.0
        )


def conditions(alert: str) -> tuple[Condition, ...]:
    """The comparisons of the alert's expression, from left to right."""
    [expr] = [
        rule["expr"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
        if rule["alert"] == alert
    ]
    return tuple(
        Condition(
            tuple(_selector(each) for each in parts(part.lhs, promql.VectorSelector)),
            str(part.op),
            part.rhs.val,
            next((each.args[0].val for each in parts(part.lhs, promql.Call) if len(each.args) > 1), None),
        )
        for part in parts(promql.parse(expr), promql.BinaryExpr)
        if str(part.op) in _COMPARISONS and isinstance(part.rhs, promql.NumberLiteral)
    )


def parts(expression: Any, kind: type | tuple[type, ...]) -> list[Any]:
    """Of a PromQL expression those of a kind, from left to right."""
    found: list[Any] = []

    def visit(part: Any) -> None:
        if isinstance(part, kind):
            found.append(part)

    promql.walk(expression, visit)
    return found


def _selector(part: Any) -> Selector:
    return Selector(part.name, tuple((each.name, each.op, each.value) for each in part.matchers.matchers))


async def scrape(client: httpx.AsyncClient, addresses: Mapping[str, str]) -> Samples:
    """Of every process what it says of itself, and `up`, which Prometheus adds: 0 when it says nothing.

    addresses: base URLs by the processes' names. The jobs are named as alerts.yaml says.
    """
    pages = await asyncio.gather(*(_page(client, address) for address in addresses.values()))
    samples: dict[Series, float] = {}
    for instance, page in zip(addresses, pages, strict=True):
        target = {("job", _job(instance)), ("instance", instance)}
        samples["up", frozenset(target)] = float(page is not None)
        for name, labels, value in _samples(page or ""):
            samples[name, frozenset({*labels.items(), *target})] = value
    return samples


def _job(process: str) -> str:
    return f"souk-{process}" if process.endswith("-redirect") else f"souk-{process.partition('-')[0]}"


async def _page(client: httpx.AsyncClient, address: str) -> str | None:
    try:
        return (await client.get(f"{address}/metrics")).raise_for_status().text
    except httpx.HTTPError:
        return None


def _samples(page: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


class Increase:
    """By how much counters have grown from scrape to scrape, as `increase` sees it: what a series had when it
    was first seen is no growth, and one that fell began anew from nothing."""

    def __init__(self) -> None:
        self._last: dict[Series, float] = {}
        self._grown: dict[Series, float] = defaultdict(float)

    def see(self, samples: Samples) -> "Increase":
        for series, value in samples.items():
            if series in self._last:
                before = self._last[series]
                self._grown[series] += value - before if value >= before else value
        self._last.update(samples)
        return self

    def of(self, selector: Selector, **labels: str) -> float:
        """Of all its series together."""
        return sum(selector.values(self._grown, **labels))
