"""`souk demo`: a fresh data folder, the suite in it, the month, the statement."""

import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import httpx
from rich.console import Console

from souk.chassis.clock import set_manual
from souk.local import clock, control, suite, tokens
from souk.local.demo import month, plan, statement
from souk.local.demo.api import Api
from souk.local.demo.progress import Progress, showing
from souk.local.errors import StackError
from souk.local.folder import Folder, open_folder, remembered_ports, running
from souk.local.standins import catalogue


def run(folder: Folder, *, data: Path, hashtags: Sequence[str], seed: int, keep: bool, as_json: bool) -> None:
    """Play the month in `folder`, which is emptied first, and print the statement.

    Everything started is stopped again unless `keep`. Raises StackError.
    """
    console = Console(stderr=True)
    videos = catalogue.read(data)
    the_plan = plan.make(videos, hashtags, seed)
    _fresh(folder)
    set_manual(folder.clock, plan.OPENING)
    with showing(console) as progress:
        progress.says(f"starting the suite in {folder.root}")
        with control.Supervised(folder) as started:
            started.launch(
                servers_only=False,
                lifeline=not keep,
                environment={"SOUK_STANDINS_DATA": str(data.absolute())},
            )
            for _ in control.follow(folder):
                pass
            progress.says("the suite is ready")
            found = asyncio.run(_play(folder, videos, the_plan, seed, progress))
            if keep:
                started.leave()
        if keep:
            progress.says(f"played; stop the suite with SOUK_DATA={folder.root} souk down")
        else:
            progress.says("played and stopped")
    if as_json:
        json.dump(found, sys.stdout, indent=1, ensure_ascii=False)
        print()
    else:
        statement.show(Console(), found)


async def _play(
    folder: Folder, videos: catalogue.Catalogue, the_plan: plan.Plan, seed: int, progress: Progress
) -> statement.Json:
    ports = remembered_ports(folder)
    gateway = f"http://127.0.0.1:{ports['gateway']}"

    async def advance(target: datetime) -> None:
        await clock.advance(folder.clock, suite.pulses(folder), target, arrived=progress.clock)

    async with httpx.AsyncClient(base_url=gateway, timeout=60, trust_env=False) as client:
        staff = Api(client, lambda: tokens.token(folder, "staff"), f"demo:{seed}")
        stage = month.Suite(staff, gateway, f"http://127.0.0.1:{ports['standins']}", advance)
        ids = await month.play(stage, the_plan, seed, progress)
        return await statement.read(staff, videos, the_plan, ids)


def _fresh(folder: Folder) -> None:
    """An empty folder. Only one that a demo made is emptied; what runs in it keeps it."""
    if running(folder):
        raise StackError(f"souk runs in {folder.root}: stop it with `souk down`, then play the demo.")
    mark = folder.root / "demo"
    if folder.root.exists() and any(folder.root.iterdir()) and not mark.exists():
        raise StackError(f"{folder.root} holds other data: let SOUK_DATA name an empty folder for the demo.")
    shutil.rmtree(folder.root, ignore_errors=True)
    open_folder(folder)
    mark.touch()
