"""The page of plots: one HTML file, its pictures SVG, nothing fetched from anywhere."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_WIDTH, _BAR, _GAP, _LEFT, _HEIGHT = 640, 14, 4, 170, 160
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "h2{margin:2rem 0 .2rem;font-size:1.1rem}p{margin:.2rem 0}svg{display:block;margin:.4rem 0}"
    "table{border-collapse:collapse}td,th{padding:.1rem .8rem .1rem 0;text-align:left;font-weight:normal}"
    ".missed{color:#b00020;font-weight:600}.met{color:#0a6b2d}"
)
_FIGURE, _LIMIT, _BOUND = "#3465a4", "#b9c3cf", "#b00020"


def page(kept: Mapping[str, Any]) -> str:
    """kept: what the JSON beside the page holds."""
    facts = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
        for name, value in kept["machine"].items()
    )
    parts = "".join(_workload(each) for each in kept["workloads"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>souk: the bench</title>'
        f"<style>{_STYLE}</style><h1>souk: the bench</h1>"
        "<p>Each figure stands beside its limit, measured in turn in one run: on a shared machine the ratio "
        f"says something, the figure alone does not.</p><table>{facts}</table>{parts}</html>\n"
    )


def _workload(one: Mapping[str, Any]) -> str:
    words = [f"{number(one['figure'])} {one['unit']}{between(one['spread'])}"]
    if one["ratio"]:
        words.append(f"limit {number(one['limit'])}")
        words.append(f"ratio {number(one['ratio']['median'])}{between(one['ratio'])}")
    if one["rss_mb"] is not None:
        words.append(f"{number(one['rss_mb'])} MB at most")
    told = [*one["also"].items(), *((f"{name}, MB", peak) for name, peak in one["processes"].items())]
    also = "".join(f"<tr><th>{escape(name)}</th><td>{escape(shown(value))}</td></tr>" for name, value in told)
    return (
        f"<h2>{escape(one['workload'])}</h2><p>{escape(', '.join(words))}. {_verdict(one)}</p>"
        f"<p>{escape(one['note'])}</p>{_bars(one)}{_courses(one)}<table>{also}</table>"
    )


def _verdict(one: Mapping[str, Any]) -> str:
    if one["met"] is None:
        return ""
    mark, word = ("met", "met") if one["met"] else ("missed", "not met")
    return f'<span class="{mark}">{bound(one)}: {word}</span>'


def _bars(one: Mapping[str, Any]) -> str:
    """Each round's figure over its limit; a line where the bound is."""
    figures: Sequence[float] = one["rounds"]["figures"]
    limits: Sequence[float] = one["rounds"]["limits"]
    at_most = one["floor"] if one["bound"] == "at most" else 0
    most = max(*figures, *limits, at_most, 1e-9)
    scale = (_WIDTH - _LEFT) / most
    shapes: list[str] = []
    y = _GAP
    for index, figure in enumerate(figures):
        pairs = [("figure", figure, _FIGURE)]
        if limits:
            pairs.append(("limit", limits[index], _LIMIT))
        for name, value, colour in pairs:
            label = f"round {index + 1}, {name} {number(value)}"
            shapes.append(
                f'<text x="0" y="{y + _BAR - 3}" font-size="12">{label}</text>'
                f'<rect x="{_LEFT}" y="{y}" width="{value * scale:.1f}" height="{_BAR}" fill="{colour}"/>'
            )
            y += _BAR + 1
        if one["bound"] == "at least":
            x = _LEFT + limits[index] * one["floor"] * scale
            shapes.append(_line(x, y - 2 * (_BAR + 1), y))
        y += _GAP
    if at_most:
        shapes.append(_line(_LEFT + at_most * scale, 0, y))
    return f'<svg width="{_WIDTH + 4}" height="{y}" role="img">{"".join(shapes)}</svg>'


def _courses(one: Mapping[str, Any]) -> str:
    """Each line in a colour of its own, all from nothing to the highest."""
    courses: Mapping[str, Sequence[float]] = one["courses"]
    if not courses:
        return ""
    most = max(map(max, courses.values()))
    colours = [f"hsl({index * 137 % 360} 60% 40%)" for index in range(len(courses))]
    names = ", ".join(
        f'<span style="color:{colour}">{escape(name)}</span>'
        for name, colour in zip(courses, colours, strict=True)
    )
    lines = "".join(
        f'<polyline fill="none" stroke="{colour}" points="{_points(line, most)}"/>'
        for line, colour in zip(courses.values(), colours, strict=True)
    )
    first, last = map(escape, one["across"])
    return (
        f"<p>{names}; from 0 to {number(most)}</p>"
        f'<svg width="{_WIDTH}" height="{_HEIGHT + 20}" role="img"><g font-size="12">{lines}'
        f'<text x="0" y="{_HEIGHT + 16}">{first}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 16}" text-anchor="end">{last}</text></g></svg>'
    )


def _points(line: Sequence[float], most: float) -> str:
    step = _WIDTH / max(len(line) - 1, 1)
    return " ".join(f"{x * step:.1f},{_HEIGHT * (1 - y / most):.1f}" for x, y in enumerate(line))


def _line(x: float, top: float, bottom: float) -> str:
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" stroke="{_BOUND}" stroke-width="2"/>'


def bound(one: Mapping[str, Any]) -> str:
    return f"{one['bound']} {number(one['floor'])}"


def between(spread: Mapping[str, float]) -> str:
    """Least and most of the rounds; nothing where all are one."""
    least, most = spread["min"], spread["max"]
    return "" if least == most else f" ({number(least)} to {number(most)})"


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def shown(value: float | str) -> str:
    return value if isinstance(value, str) else number(value)
