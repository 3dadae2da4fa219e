"""The bench: `python bench [workload…] [--quick] [--strict]`.

Each workload runs on servers of its own in a temporary folder, in turn with its limit. Figure, limit and
ratio (median, least, most) are printed as they come; `bench/results/<time>.json` and a page of plots beside
it keep them; those of a quick run are in `bench/results/quick`, which git passes over. The exit
code is 1 when a workload could not be measured or, with --strict, when something that is asked is not met.
"""

import argparse
import asyncio
import importlib
import json
import os
import platform
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from harness import Result, Size
from page import between, bound, number, page, shown

# The hour trades as the fault rig does, and both say alike which commit they played.
sys.path.append(str(Path(__file__).parents[1] / "tests/faults"))

from source import commit

WORKLOADS: Mapping[str, str] = {
    "relay": "relay",
    "intake": "intake",
    "idle": "idle",
    "billing": "billing",
    "redirect": "redirect",
    "fresh-click": "fresh_click",
    "api": "api",
    "up": "up",
    "giant": "giant",
    "growth": "growth",
    "hour": "hour",
}
"""Name on the command line → module with `async def measure(size: Size) -> list[Result]`."""
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="souk beside its limits")
    parser.add_argument(
        "workloads", nargs="*", metavar="workload", help=f"of {', '.join(WORKLOADS)}; all when none is named"
    )
    parser.add_argument("--quick", action="store_true", help="about 20 s a workload")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when something asked is not met")
    asked = parser.parse_args()
    if unknown := set(asked.workloads).difference(WORKLOADS):
        parser.error(f"no such workload: {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    machine = _machine(asked.quick)
    results: list[Result] = []
    failed: dict[str, str] = {}
    for name in asked.workloads or WORKLOADS:
        module = importlib.import_module(WORKLOADS[name])
        try:
            found = asyncio.run(module.measure(Size(asked.quick)))
        except Exception as error:  # noqa: BLE001  the others' figures are not lost for it
            traceback.print_exc()
            failed[name] = repr(error)
            continue
        for result in found:
            results.append(result)
            print(_line(result.record()), flush=True)
    kept = {
        "machine": machine,
        "workloads": [result.record() for result in results],
        "failed": failed,
    }
    folder = RESULTS / "quick" if asked.quick else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(kept, indent=1) + "\n")
    path.with_suffix(".html").write_text(page(kept))
    print(f"kept in {path} and {path.with_suffix('.html').name}", file=sys.stderr)
    missed = [result.workload for result in results if result.met is False]
    return 1 if failed or (asked.strict and missed) else 0


def _machine(quick: bool) -> dict[str, Any]:
    return {
        "commit": commit(),
        "command": f"python bench {' '.join(sys.argv[1:])}".strip(),
        "quick": quick,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_mb": psutil.virtual_memory().total >> 20,
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    names = Path("/proc/cpuinfo")
    lines = names.read_text().splitlines() if names.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _line(one: Mapping[str, Any]) -> str:
    words = [f"{one['workload']:<28}{number(one['figure']):>10} {one['unit']}{between(one['spread'])}"]
    if one["ratio"]:
        ratio = one["ratio"]
        words.append(f"limit {number(one['limit'])}, ratio {number(ratio['median'])}{between(ratio)}")
    if one["rss_mb"] is not None:
        words.append(f"{number(one['rss_mb'])} MB")
    words += [f"{name} {shown(value)}" for name, value in one["also"].items()]
    if one["met"] is not None:
        words.append(f"{bound(one)}: {'met' if one['met'] else 'NOT MET'}")
    if one["note"]:
        words.append(f"({one['note']})")
    return "  ".join(words)


if __name__ == "__main__":
    sys.exit(main())
