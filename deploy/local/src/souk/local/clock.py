"""Moving the suite's clock: frozen between steps, it goes from due instant to due instant.

It moves on only when the suite is quiet: outboxes empty, nothing behind on any topic, no timer due.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from souk.chassis.clock import ManualClock, set_manual
from souk.local.errors import StackError

_PATIENCE_SECONDS = 120.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.01, 0.15


@dataclass(frozen=True, slots=True)
class Reading:
    """What one process says of its work (`/internal/pulse`)."""

    outbox: int
    lag: int
    due: int
    next_due: datetime | None
    progress: int

    @property
    def quiet(self) -> bool:
        return not (self.outbox or self.lag or self.due)


async def advance(
    clock: Path,
    pulses: Mapping[str, str],
    target: datetime,
    *,
    arrived: Callable[[datetime], None] = lambda _: None,
    patience: float = _PATIENCE_SECONDS,
) -> None:
    """Move the clock at `clock` to `target`, stopping at every instant at which something is due.

    pulses: the `/internal/pulse` URL of each process that has work of its own.
    arrived: called with each instant that the clock was set to.
    Raises StackError when a process neither works nor comes to rest for `patience` seconds.
    """
    hands = ManualClock(clock)
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        while True:
            readings = await _quiet(client, pulses, patience)
            now = hands.now()
            if now >= target:
                return
            upcoming = [reading.next_due for reading in readings.values() if reading.next_due]
            instant = min([target, *upcoming])
            set_manual(clock, max(instant, now))
            arrived(instant)


async def settle(pulses: Mapping[str, str], patience: float = _PATIENCE_SECONDS) -> None:
    """Return when the suite is quiet at the clock's present instant."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        await _quiet(client, pulses, patience)


async def _quiet(client: httpx.AsyncClient, pulses: Mapping[str, str], patience: float) -> dict[str, Reading]:
    """Two rounds that agree: each process was at rest from its first answer to its second.

    So at the instant between the two rounds all were at rest together, and nothing was under way.
    """
    before: dict[str, Reading] = {}
    patient_until = time.monotonic() + patience
    while True:
        readings = await _round(client, pulses)
        busy = {name: url for name, url in pulses.items() if not _is_quiet(readings.get(name))}
        if not busy and readings == before:
            return readings
        if busy:
            await _wait_for(client, busy, readings, patience)
        elif time.monotonic() > patient_until:
            raise StackError(f"The suite found no rest for {patience:.0f} s. See `souk logs`.")
        before = {} if busy else readings


async def _wait_for(
    client: httpx.AsyncClient, busy: Mapping[str, str], seen: dict[str, Reading], patience: float
) -> None:
    """Ask those that were busy, and no others, until they rest; ever more seldom, to be in nobody's way."""
    last_change = time.monotonic()
    pause = _SHORTEST_PAUSE
    while True:
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
        readings = await _round(client, busy)
        if all(_is_quiet(readings.get(name)) for name in busy):
            return
        if readings != {name: seen[name] for name in busy if name in seen}:
            last_change, seen = time.monotonic(), readings
        elif time.monotonic() - last_change > patience:
            raise StackError(_stuck(busy, readings, patience))


def _is_quiet(reading: Reading | None) -> bool:
    return reading is not None and reading.quiet


async def _round(client: httpx.AsyncClient, pulses: Mapping[str, str]) -> dict[str, Reading]:
    """What each process says; one that is away (being started again, say) is left out."""
    answers = await asyncio.gather(*(_read(client, url) for url in pulses.values()))
    return {name: answer for name, answer in zip(pulses, answers, strict=True) if answer is not None}


async def _read(client: httpx.AsyncClient, url: str) -> Reading | None:
    try:
        response = await client.get(url)
        if response.status_code != httpx.codes.OK:
            return None
        found: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError):
        return None
    due = found.get("next_due")
    return Reading(
        outbox=found["outbox"],
        lag=found["lag"],
        due=found["due"],
        next_due=datetime.fromisoformat(due) if due else None,
        progress=found["progress"],
    )


def _stuck(pulses: Mapping[str, str], readings: Mapping[str, Reading], patience: float) -> str:
    parts = [
        f"{name} does not answer" if (reading := readings.get(name)) is None
        else f"{name} has outbox={reading.outbox} lag={reading.lag} due={reading.due}"
        for name in pulses
        if name not in readings or not readings[name].quiet
    ]  # fmt: skip
    return f"The suite did not come to rest for {patience:.0f} s: {'; '.join(parts)}. See `souk logs`."
