"""How far the month is: a live line on a terminal, plain lines elsewhere, always on standard error."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.status import Status


class Progress:
    """Tells a person what happens. On a terminal the suite's clock runs in the last line."""

    def __init__(self, console: Console, status: Status | None) -> None:
        self._console = console
        self._status = status
        self._day: datetime | None = None
        self._text = ""
        self._began = time.monotonic()

    def says(self, text: str) -> None:
        self._text = text
        self._console.print(
            f"{time.monotonic() - self._began:6.1f} s  {text}", highlight=False, soft_wrap=True
        )

    def clock(self, instant: datetime) -> None:
        """The suite's clock moved. Off a terminal one line a week is enough."""
        if self._status is not None:
            self._status.update(f"{instant:%Y-%m-%d %H:%M} UTC  {self._text}")
        elif self._day is None or (instant - self._day).days >= 7:
            self._day = instant
            self._console.print(f"          {instant:%Y-%m-%d %H:%M} UTC", highlight=False)


@contextmanager
def showing(console: Console) -> Iterator[Progress]:
    if console.is_terminal:
        with console.status("starting") as status:
            yield Progress(console, status)
    else:
        yield Progress(console, None)
