"""Load and faults break nothing: two minutes by one seed, and longer by new ones; and the command says so."""

import asyncio
import json
import os
import random
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from disturbances import FAULTS, plan_of_all
from fastapi import FastAPI
from load import KINDS
from mutants import MUTANTS, Mutant
from rounds import SECONDS, Report, play, rest, tell_absent
from shrinking import shorter

from souk.chassis.server import served
from souk.local import tokens
from souk.local.errors import StackError
from souk.local.folder import Folder, remembered_ports

_ROOT = Path(__file__).parents[2]

_LONG_SECONDS = 60.0
"""So that a fault may last for 30 s, longer than a relay's hold on its shards."""
_SHRINK_SECONDS = 240.0
_TWO_MINUTES_HAVE = {
    *("draft", "approve", "raise", "edit", "join", "accept", "click", "order", "refund"),
    *("post", "metric_up", "metric_down", "post_approve", "payment_run", "payment_paid"),
    *("sent_email", "sent_push"),
}
_LOAD_SECONDS = 30.0
"""In each of two rounds: the payment run is due after some 45 s of load, and people have to be paid then."""
_NEW = os.environ.get("SOUK_FAULTS_SEED") or str(random.SystemRandom().randrange(1, 1_000_000))
"""Of the long tests; set it to have them play the same again."""


async def found(report: Report) -> str:
    """What broke, what plays it again, and the shortest history of it."""
    again = f"make faults SEED={report.seed} ROUNDS={report.rounds} FOR={report.load_seconds:g}"
    short = await shorter(report, report.load_seconds, within=_SHRINK_SECONDS)
    return "\n".join([report.line(), *report.broken[:40], *short.about, f"again: {again}"])


@dataclass(frozen=True, slots=True)
class Said:
    """What the command said, on standard output and on standard error, and its exit code."""

    code: int
    lines: list[str]
    more: str


@asynccontextmanager
async def command(report: Path, *words: str) -> AsyncIterator[asyncio.Task[Said]]:
    """`python tests/faults`, as people give it; it writes `report`."""
    # Wide enough for what it refuses to be named in one line.
    environment = {**os.environ, "SOUK_FAULTS_REPORT": str(report), "COLUMNS": "1000"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "tests/faults", *words),
        cwd=_ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    async def said() -> Said:
        out, err = await process.communicate()
        return Said(process.returncode or 0, out.decode().splitlines(), err.decode())

    saying = asyncio.create_task(said())
    try:
        yield saying
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await saying


@pytest.mark.timeout(900)
async def test_two_minutes_of_load_and_faults_break_nothing(tmp_path: Path) -> None:
    written = tmp_path / "faults.json"
    words = f"--seed 1 --rounds 2 --for {_LOAD_SECONDS:g} --shrink {_SHRINK_SECONDS:g}".split()
    async with command(written, *words, "--keep", str(tmp_path / "play")) as playing:
        said = await playing

    assert said.code == 0, said.more
    report = Report.read(written)
    assert report.sound
    assert report.acknowledged > 100
    assert {kind for kind, times in report.load.items() if times} >= _TWO_MINUTES_HAVE
    assert report.refused > 0
    assert report.looks["position"] > 0
    assert report.looks["copy"] > 0
    assert report.faults.total() == 11
    assert said.lines == [report.line()]
    assert re.fullmatch(
        r"rounds=2 faults=11 by-kind=\w+:\d(,\w+:\d)* acknowledged=\d+ unknown=\d+"
        r" lost=0 duplicated=0 overspent=0 drift=0 diverged=0",
        report.line(),
    )
    assert (report.seed, report.load_seconds, report.plan) == (1, _LOAD_SECONDS, plan_of_all(1, 2))


async def test_what_cannot_be_played_is_refused_by_its_name(tmp_path: Path) -> None:
    for plan in (
        "no JSON",
        "[]",
        '{"seed": 1}',
        '{"seed": 1, "load_seconds": 5, "plan": [[{"name": "cut"}]]}',
    ):
        (tmp_path / "plan.json").write_text(plan)
        async with command(tmp_path / "faults.json", "--plan", str(tmp_path / "plan.json")) as playing:
            said = await playing
        assert said.code == 2
        assert f"{tmp_path}/plan.json is no report of a play" in said.more
    async with command(tmp_path / "faults.json", "--mutant", "no_fence", "--mutant", "none_such") as playing:
        said = await playing

    assert said.code == 2
    assert "none_such is no mutant" in said.more
    assert not (tmp_path / "faults.json").exists()


async def _ask(folder: Folder, method: str, path: str, **body: str) -> Any:
    """What the suite in `folder` answers as soon as it has what is asked for."""
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(300):
        while True:
            # It may not have started yet.
            with suppress(httpx.HTTPError, OSError, LookupError):
                answer = await client.request(
                    method,
                    f"http://127.0.0.1:{remembered_ports(folder)['gateway']}{path}",
                    headers={"authorization": f"Bearer {tokens.token(folder, 'staff')}"},
                    json=body or None,
                )
                if answer.is_success and answer.json().get("items", True):
                    return answer.json()
            await asyncio.sleep(0.2)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_what_was_found_is_told_with_what_plays_it_again(tmp_path: Path) -> None:
    """Somebody opens a shop who is not in the history: that is one more than was asked for."""
    plan, written, kept = tmp_path / "plan.json", tmp_path / "faults.json", tmp_path / "play"
    Report(5, [[]], 20.0).write(plan)
    folder = Folder(kept / "data")

    async with command(written, "--plan", str(plan), "--shrink", "0", "--keep", str(kept)) as playing:
        campaign = (await _ask(folder, "GET", "/v1/campaigns"))["items"][0]
        await _ask(folder, "POST", "/v1/shops", campaign_id=campaign["id"], kind="shopify", domain="b.test")
        said = await playing

    assert said.code == 1, said.more
    report, shortest = Report.read(written), tmp_path / "faults-shortest.json"
    assert said.lines == [report.line()]
    [found] = report.broken
    assert re.match(f"(undone|doubled) shop: {campaign['id']}: ", found)
    assert f"the shortest that was found has 0 faults: {found}" in said.more
    assert f's  draft {{"title": "{campaign["title"]}"' in said.more
    assert f"1 found; again: make faults ARGS='--plan {plan}'; data in {kept}" in said.more
    assert f"the shortest again: make faults ARGS='--plan {shortest}'" in said.more
    assert Report.read(shortest).plan == [[]]


async def test_what_moves_for_ever_is_no_rest() -> None:
    busy, numbers = FastAPI(), count()

    @busy.get("/pulse")
    async def pulse() -> dict[str, int | None]:
        return {"outbox": 0, "lag": 1, "due": 0, "next_due": None, "progress": next(numbers)}

    async with served(busy) as address:
        with pytest.raises(StackError, match="no rest for 1 s"):
            await rest({"busy": f"{address}/pulse"}, patience=0.5, longest=1.0)

    assert next(numbers) > 1


@pytest.mark.parametrize(("rounds", "found"), [(3, []), (4, ["undone_load refund: it had success not once"])])
def test_load_that_a_whole_play_had_not_once_is_a_finding(rounds: int, found: list[str]) -> None:
    report = Report(1, load_seconds=SECONDS, rounds=rounds, load=dict.fromkeys(KINDS, 1) | {"refund": 0})

    tell_absent(report)

    assert report.broken == found


@pytest.mark.long
async def test_a_suite_that_does_not_start_is_a_finding(tmp_path: Path) -> None:
    unknown = Mutant("unknown", "", (), ())

    report = await play(tmp_path, 1, plan_of_all(1, 1), SECONDS, mutants=[unknown])

    [words] = report.broken
    assert words.startswith("ended: StackError")
    assert json.loads((tmp_path / "report.json").read_text())["broken"] == [words]


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_new_seeds_break_nothing(tmp_path: Path) -> None:
    seed = int(_NEW)
    plan = plan_of_all(seed, 10)
    assert {fault.name for faults in plan for fault in faults} == FAULTS.keys(), "each kind comes"

    report = await play(tmp_path, seed, plan, _LONG_SECONDS)

    assert report.sound, await found(report)
    assert report.load["close"], "campaigns that are long over are closed"


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_what_breaks_is_told_by_its_shortest_history(tmp_path: Path) -> None:
    keeps_versions = [MUTANTS["version_kept"]]
    broken = await play(tmp_path, 1, plan_of_all(1, 2), SECONDS, mutants=keeps_versions)

    short = await shorter(broken, SECONDS, within=_SHRINK_SECONDS, mutants=keeps_versions)

    assert not broken.sound
    assert short.plan == [[]], "it needs no fault"
    [campaign, *_] = re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", short.broken[0])
    assert short.broken[0].startswith(("fork campaign.campaigns", "lost budget"))
    assert any("approve" in line and campaign in line for line in short.about)
