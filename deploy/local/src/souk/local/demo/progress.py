"""How far the month is: a live line on a terminal, plain lines elsewhere, always on standard error."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.status import Status


class Progress:
    """Tells a person what happens, and after how many seconds. On a terminal the suite's clock runs in the
    last line."""

    def __init__(self, console: Console, status: Status | None) -> None:
        self._console = console
        self._status = status
        self._instant: datetime | None = None
        self._shown: datetime | None = None
        self._text = ""
        self._began = time.monotonic()

    def says(self, text: str) -> None:
        self._text = text
        self._print(text)
        self._caption()

    def clock(self, instant: datetime) -> None:
        """The suite's clock moved. Off a terminal one line a week is enough."""
        self._instant = instant
        self._caption()
        if self._status is None and (self._shown is None or (instant - self._shown).days >= 7):
            self._shown = instant
            self._print(f"{instant:%Y-%m-%d %H:%M} UTC")

    def _print(self, line: str) -> None:
        took = time.monotonic() - self._began
        self._console.print(f"{took:6.1f} s  {line}", highlight=False, soft_wrap=True)

    def _caption(self) -> None:
        if self._status is not None:
            self._status.update(
                f"{self._instant:%Y-%m-%d %H:%M} UTC  {self._text}" if self._instant else self._text
            )


@contextmanager
def showing(console: Console) -> Iterator[Progress]:
    if console.is_terminal:
        with console.status("starting") as status:
            yield Progress(console, status)
    else:
        yield Progress(console, None)
