"""What the `souk` command shows: a live table on a terminal, plain lines elsewhere."""

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from souk.local.folder import Folder, remembered_ports
from souk.local.stack import of_folder
from souk.local.suite import DEFAULT_GATEWAY_PORT

_COLOURS = {"ready": "green", "done": "green", "failed": "red", "restarting": "yellow", "held": "yellow"}


def table(processes: Sequence[dict[str, Any]]) -> Table:
    shown = Table(box=None, pad_edge=False)
    for column in ("process", "state", "pid", "restarts", "seconds"):
        shown.add_column(column, justify="right" if column in {"pid", "restarts", "seconds"} else "left")
    for each in processes:
        colour = _COLOURS.get(each["state"], "dim")
        shown.add_row(
            each["name"],
            f"[{colour}]{each['state']}[/]",
            str(each["pid"] or ""),
            str(each["restarts"] or ""),
            f"{each['took']:.1f}" if each["took"] else "",
        )
    return shown


def show_table(processes: Sequence[dict[str, Any]]) -> None:
    Console().print(table(processes))


def show_start(changes: Iterable[Sequence[dict[str, Any]]]) -> None:
    """Follow a start until it is over; errors of `changes` pass through."""
    console = Console(stderr=True)
    if console.is_terminal:
        with Live(console=console, transient=True) as live:
            for processes in changes:
                live.update(table(processes))
        return
    seen: dict[str, str] = {}
    for processes in changes:
        for each in processes:
            if seen.get(each["name"]) != each["state"] and each["state"] != "waiting":
                seen[each["name"]] = each["state"]
                took = f" after {each['took']:.1f} s" if each["took"] else ""
                console.print(f"{each['name']}: {each['state']}{took}", highlight=False)


def show_addresses(folder: Folder, *, servers_only: bool, took: float) -> None:
    """Where everything is, and one call to try."""
    stack, known = of_folder(folder), remembered_ports(folder)
    lines = [
        f"Ready after {took:.1f} s; data and logs are in {folder.root}",
        f"  Kafka       {stack.kafka.bootstrap} ({stack.kafka.protocol}, {stack.kafka.mechanism})",
        f"  PostgreSQL  {stack.postgres.host}:{stack.postgres.port}",
        f"  Valkey      127.0.0.1:{known['valkey']}",
        f"  passwords   {folder.root / 'secrets.json'}",
    ]
    if not servers_only:
        address = f"http://127.0.0.1:{known['gateway']}"
        lines += [
            f"  gateway     {address}",
            f"  stand-ins   http://127.0.0.1:{known['standins']} (YouTube, push service, /mail)",
        ]
        if known["gateway"] != DEFAULT_GATEWAY_PORT and not os.environ.get("SOUK_GATEWAY_PORT"):
            lines.append(
                f"Port {DEFAULT_GATEWAY_PORT} is in use, so the gateway is at {address};"
                " set SOUK_GATEWAY_PORT to choose."
            )
        lines += [
            "",
            "Try:",
            f"  TOKEN=$({_souk()} token --as staff)",
            f'  curl -s -H "Authorization: Bearer $TOKEN" {address}/v1/campaigns',
        ]
    print("\n".join(lines))


def _souk() -> str:
    """How a shell in this folder calls this very `souk` for the same data."""
    script = Path(sys.executable).with_name("souk")
    here = Path.cwd()
    called = shlex.quote(str(script.relative_to(here) if script.is_relative_to(here) else script))
    data = os.environ.get("SOUK_DATA")
    return f"SOUK_DATA={shlex.quote(data)} {called}" if data else called
