"""Alerts, metrics, runbooks, the commands and faults that these name, and the tests that move the signals:
each is held against the others."""

import ast
import importlib
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

import promql_parser as promql
import pytest
import typer
import yaml
from disturbances import HEAVY, LIGHT
from prometheus_client.metrics import MetricWrapperBase
from signals import parts
from typer.core import TyperGroup
from typer.exceptions import TyperException

from souk.chassis import metrics
from souk.chassis.deadletter import Parked, Retried, Shown
from souk.chassis.metrics_document import document
from souk.chassis.pulse import Reading
from souk.checker.finding import Finding
from souk.contracts.topic import SERVICES
from souk.notify.channels.outlet import Result

ROOT = Path(__file__).parents[2]
RULES = (ROOT / "deploy/observability/alerts.yaml").read_text()
RUNBOOKS = {
    f"docs/runbooks/{path.name}": path.read_text()
    for path in sorted((ROOT / "docs/runbooks").glob("*.md"))
    if path.name != "README.md"
}
INDEX = (ROOT / "docs/runbooks/README.md").read_text()

TARGET = {"job", "instance"}
"""Labels that a scrape adds."""
VALUES = {"result": get_args(Result)}
"""What a label may say, where it is one of a few words."""
SECTIONS = ("At risk", "Look first", "Do", "Over when", "Rehearsed")
CASES = "tests/faults/test_signals.py::"
"""Tests that do an alert's faults to the running suite."""
PRINTS: Mapping[str, tuple[Any, ...]] = {
    "lag": (Reading,),
    "deadletter list": (Parked,),
    "deadletter show": (Shown,),
    "deadletter retry": (Retried,),
    "deadletter drop": ({"dropped"},),
    "republish": ({"republished"},),
    "rebuild": ({"rebuilt"},),
    "check": (Finding, {"checked", "findings"}),
}
"""What a line of each command's output holds."""


def labels_by_metric() -> dict[str, set[str]]:
    """By the name that a scrape has, of every service; `up` is what Prometheus says of a scrape itself."""
    document()  # imports the services' own lists
    known = {"up": set[str]()}
    for metric in metrics.METRICS:
        if metric.kind == "histogram":
            for suffix in ("bucket", "count", "sum"):
                known[f"{metric.name}_{suffix}"] = {*metric.labels, *(["le"] if suffix == "bucket" else [])}
        else:
            known[metric.name] = set(metric.labels)
    return {name: labels | TARGET for name, labels in known.items()}


KNOWN = labels_by_metric()


def complaints(rules: str, runbooks: Mapping[str, str]) -> list[str]:
    """What is wrong with the alerts, with the runbooks, or between them."""
    alerts = list(_alerts(rules))
    said: list[str] = []
    for alert in alerts:
        said += [f"{alert.get('alert')}: {each}" for each in _about_alert(alert, runbooks)]
    names = [alert.get("alert") for alert in alerts]
    said += [f"{name}: there twice" for name in sorted({name for name in names if names.count(name) > 1})]
    for path, text in runbooks.items():
        mine = [alert for alert in alerts if alert["annotations"].get("runbook") == path]
        if not mine:
            said.append(f"{path}: no alert")
        for alert in mine:
            said += [f"{path}: {each}" for each in _about_runbook(text, alert)]
    return said


def _alerts(rules: str) -> Iterator[dict[str, Any]]:
    content = yaml.safe_load(rules)
    assert content.keys() == {"groups"}
    for group in content["groups"]:
        assert group.keys() == {"name", "rules"}
        yield from group["rules"]


def _about_alert(alert: Mapping[str, Any], runbooks: Mapping[str, str]) -> Iterator[str]:
    if unknown := alert.keys() - {"alert", "expr", "for", "labels", "annotations"}:
        yield f"no such keys: {sorted(unknown)}"
    if not re.fullmatch(r"Souk[A-Z][A-Za-z]+", alert["alert"]):
        yield "not a name"
    if "for" in alert and not re.fullmatch(r"\d+[smh]", str(alert["for"])):
        yield "`for` is no duration"
    if alert.get("labels") not in ({"severity": "page"}, {"severity": "ticket"}):
        yield "neither page nor ticket"
    if alert.get("annotations", {}).keys() != {"summary", "runbook"}:
        yield "summary and runbook, nothing else"
        return
    if alert["annotations"]["runbook"] not in runbooks:
        yield "no runbook"
    try:
        expression = promql.parse(alert["expr"])
    except ValueError as error:
        yield f"no PromQL: {error}"
        return
    yield from _about_expression(expression)
    yield from _about_summary(alert["annotations"]["summary"], _labels_of(expression) or set())


def _about_expression(expression: Any) -> Iterator[str]:
    selectors = list(_selectors(expression))
    if not selectors:
        yield "no metric"
    for selector in selectors:
        if selector.name not in KNOWN:
            yield f"no metric {selector.name}"
        elif extra := {matcher.name for matcher in selector.matchers.matchers} - KNOWN[selector.name]:
            yield f"{selector.name} has no label {sorted(extra)}"
        for matcher in selector.matchers.matchers:
            words = matcher.value.split("|")
            yield from (
                f"no {matcher.name} {word}" for word in words if word not in VALUES.get(matcher.name, words)
            )
    for aggregate in parts(expression, promql.AggregateExpr):
        if aggregate.modifier is None or aggregate.modifier.type != promql.AggModifierType.By:
            yield "an aggregate keeps its labels by `by`"
            continue
        offered = {label for each in _selectors(aggregate) for label in KNOWN.get(each.name, ())}
        if extra := set(aggregate.modifier.labels) - offered:
            yield f"nothing has the label {sorted(extra)}"


def _about_summary(summary: str, labels: set[str]) -> Iterator[str]:
    if not summary.endswith(".") or ". " in summary or "\n" in summary:
        yield "a summary is one sentence"
    for inserted in re.findall(r"\{\{(.*?)\}\}", summary):
        label = re.fullmatch(r" \$labels\.(\w+) ", inserted)
        if label and label[1] not in labels:
            yield f"the summary's {label[1]} is no label of the result"
        if not label and inserted not in (" $value ", " $value | humanizeDuration "):
            yield f"the summary inserts {inserted}"


def _selectors(expression: Any) -> Iterator[Any]:
    for part in parts(expression, (promql.VectorSelector, promql.MatrixSelector)):
        yield part.vector_selector if isinstance(part, promql.MatrixSelector) else part


def _names(expr: str) -> list[str]:
    """Those of the metrics; none where it is no PromQL, which the alert is told."""
    try:
        return sorted({selector.name for selector in _selectors(promql.parse(expr))})
    except ValueError:
        return []


def _labels_of(expression: Any) -> set[str] | None:
    """Those of the result; None for a number."""
    match expression:
        case promql.AggregateExpr():
            return set(expression.modifier.labels) if expression.modifier else set()
        case promql.BinaryExpr():
            left = _labels_of(expression.lhs)
            return _labels_of(expression.rhs) if left is None else left
        case promql.Call():
            return next((found for each in expression.args if (found := _labels_of(each)) is not None), None)
        case promql.ParenExpr():
            return _labels_of(expression.expr)
        case promql.VectorSelector() | promql.MatrixSelector():
            return set().union(*(KNOWN.get(each.name, set()) for each in _selectors(expression)))
    return None


def _about_runbook(text: str, alert: Mapping[str, Any]) -> Iterator[str]:
    if text.splitlines()[0] != f"# {alert['alert']}":
        yield f"its title is not {alert['alert']}"
    if tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) != SECTIONS:
        yield f"its sections are not {', '.join(SECTIONS)}"
        return
    for line in _commands(text):
        yield from _about_command(line)
    for line, printed in re.findall(
        r"^```sh\n[^`]*?([^\n`]+)\n```\n+```json\n(.*?)^```", text, re.DOTALL | re.MULTILINE
    ):
        yield from _about_output(line, printed)
    rehearsed = text.rpartition("\n## Rehearsed\n")[2]
    faults = re.findall(r"`(\w+)`", rehearsed.partition("\n- ")[0])
    if not faults:
        yield "no fault"
    yield from (f"no fault {name}" for name in faults if name not in {**LIGHT, **HEAVY})
    tests = re.findall(r"^- `(\S+::\w+)`$", rehearsed, re.MULTILINE)
    yield from (f"no test {node}" for node in tests if _read_by(node) is None)
    rehearsing = "\n".join(_read_by(node) or "" for node in tests if node.startswith(CASES))
    if f'conditions("{alert["alert"]}")' not in rehearsing:
        yield f"no test of it in {CASES.rstrip(':')}"
    yield from (f"its test there does not {name}" for name in faults if f'"{name}"' not in rehearsing)
    read = "\n".join(_read_by(node) or "" for node in tests)
    for name in _names(alert["expr"]):
        if name in KNOWN and not any(re.search(rf"\b{each}", read) for each in _spellings(name)):
            yield f"no test of it reads {name}"


def _commands(text: str) -> Iterator[str]:
    """What is meant for a shell, in blocks and within lines."""
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield from (line for line in block.splitlines() if line.startswith("souk"))
    for inline in re.findall(
        r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    ):
        if inline.startswith("souk-"):
            yield inline


def _about_command(line: str) -> Iterator[str]:
    for each in SERVICES if "<service>" in line else [""]:
        script, *words = shlex.split(line.replace("<service>", each))
        if not re.fullmatch(rf"souk-({'|'.join(SERVICES)})", script):
            yield f"no command {script}"
            return
        try:
            _parse(script.removeprefix("souk-"), words)
        except TyperException as error:
            yield f"`{line}`: {error}"
            return


def _parse(service: str, words: list[str]) -> None:
    """As the service's script would, without doing it. Raises TyperException."""
    command: Any = _command(service)
    context = command.make_context(f"souk-{service}", words)
    while isinstance(command, TyperGroup):
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, list(words), parent=context)


@cache
def _command(service: str) -> Any:
    return typer.main.get_command(importlib.import_module(f"souk.{service}.main").main)


def _about_output(line: str, printed: str) -> Iterator[str]:
    words = shlex.split(line)[1:]
    kinds = PRINTS.get(" ".join(words[:2])) or PRINTS.get(words[0], ())
    for each in printed.splitlines():
        if not any(_keys_fit(yaml.safe_load(each), kind) for kind in kinds):
            yield f"`{line}` does not print {each}"


def _keys_fit(value: Any, kind: Any) -> bool:
    if not is_dataclass(kind):
        return not isinstance(kind, set) or value.keys() == kind
    return value.keys() == {each.name for each in fields(kind)} and all(
        _keys_fit(value[each.name], each.type) for each in fields(kind)
    )


def _spellings(name: str) -> Iterator[str]:
    """How a test may name a metric: as it is scraped, or by its constant."""
    if name == "up":
        yield 'get\\("/metrics"\\)'
        return
    yield name
    for module in ("souk.chassis.metrics", "souk.notify.metrics"):
        for constant, value in vars(importlib.import_module(module)).items():
            if isinstance(value, MetricWrapperBase) and name.startswith(value._name):
                yield f"{constant}\\b"


@cache
def _read_by(node: str) -> str | None:
    """The source of a test, its decorators, and what it calls in its own file; None when there is none."""
    file, _, test = node.partition("::")
    if not (ROOT / file).is_file():
        return None
    source = (ROOT / file).read_text()
    functions = {
        each.name: each
        for each in ast.parse(source).body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    if test not in functions or not test.startswith("test_"):
        return None
    wanted, found = [test], dict[str, str]()
    while wanted:
        name = wanted.pop()
        pieces = (*functions[name].decorator_list, functions[name])
        found[name] = "\n".join(ast.get_source_segment(source, piece) or "" for piece in pieces)
        called = {each.id for each in ast.walk(functions[name]) if isinstance(each, ast.Name)}
        wanted += [each for each in called & functions.keys() if each not in found]
    return "\n".join(found.values())


def test_alerts_and_runbooks_fit_each_other_and_what_is_there() -> None:
    assert complaints(RULES, RUNBOOKS) == []


STUCK = "docs/runbooks/outbox-stuck.md"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("outbox-stuck.md", "elsewhere.md", "SoukOutboxStuck: no runbook"),
        ("outbox-stuck.md", "elsewhere.md", f"{STUCK}: no alert"),
        ("(souk_outbox_age_seconds)", "(souk_age_seconds)", "SoukOutboxStuck: no metric souk_age_seconds"),
        ("age_seconds)", 'age_seconds{topic="x"})', "souk_outbox_age_seconds has no label ['topic']"),
        ("by (job) (souk_outbox_age", "by (topic) (souk_outbox_age", "nothing has the label ['topic']"),
        ("max by (job) (souk_outbox_age", "max (souk_outbox_age", "an aggregate keeps its labels by `by`"),
        ("by (job) (souk_outbox_age", "by (job (souk_outbox_age", "SoukOutboxStuck: no PromQL"),
        ("alert: SoukOutboxGrows", "alert: SoukOutboxStuck", "SoukOutboxStuck: there twice"),
        ("for: 1m", "for: soon", "SoukOutboxStuck: `for` is no duration"),
        ("{severity: page}", "{severity: loud}", "SoukServiceAway: neither page nor ticket"),
        ('"untouched"', '"away"', "SoukChannelAway: no result away"),
        ("for: 1m\n", "while: 1m\n", "SoukOutboxStuck: no such keys: ['while']"),
        ("job }} has not brought", "topic }} has not brought", "topic is no label of the result"),
        ("has not brought", "stands. It has not brought", "SoukOutboxStuck: a summary is one sentence"),
    ],
)
def test_a_slip_in_the_rules_is_found(old: str, new: str, complaint: str) -> None:
    assert old in RULES

    found = complaints(RULES.replace(old, new, 1), RUNBOOKS)

    assert [each for each in found if complaint in each], found


@pytest.mark.parametrize(
    ("pattern", "new", "complaint"),
    [
        (r"\A# SoukOutboxStuck", "# SoukOutbox", "its title is not SoukOutboxStuck"),
        (r"## Do\n", "", "its sections are not"),
        (r"souk-<service> lag", "souk-<service> delay", "No such command 'delay'"),
        (r"souk-<service> lag", "souk-<service> lag --now", "No such option"),
        (r"souk-<service> lag", "souk-mail lag", "no command souk-mail"),
        (r'"outbox": \d+, ', "", "does not print"),
        (r"`refuse`", "`refuses`", "no fault refuses"),
        (r"test_outbox_stuck", "test_outbox_grows", "no test of it in tests/faults/test_signals.py"),
        (r"`refuse`", "`delay`", "its test there does not delay"),
        (r"test_gauges_tell\w+", "test_gauges", "no test libs/chassis/tests/data/test_pulse.py::test_gauges"),
        (
            r"test_gauges_tell\w+",
            "test_the_first_timer_after_the_clock_is_named",
            "no test of it reads souk_outbox_age_seconds",
        ),
    ],
)
def test_a_slip_in_a_runbook_is_found(pattern: str, new: str, complaint: str) -> None:
    text, slips = re.subn(pattern, new, RUNBOOKS[STUCK], count=1)
    assert slips

    found = complaints(RULES, {**RUNBOOKS, STUCK: text})

    assert [each for each in found if each.startswith(STUCK) and complaint in each], found


def test_the_index_names_every_alert_with_its_runbook() -> None:
    shown = re.findall(r"^\| \[(\w+)\]\(([\w-]+\.md)\) \| (\w+) \|", INDEX, re.MULTILINE)

    assert shown == [
        (each["alert"], Path(each["annotations"]["runbook"]).name, each["labels"]["severity"])
        for each in _alerts(RULES)
    ]
