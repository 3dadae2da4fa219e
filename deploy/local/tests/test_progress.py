"""What the demo tells of itself while it plays."""

import re
from datetime import UTC, datetime, timedelta
from io import StringIO

from rich.console import Console

from souk.local.demo.progress import Progress, showing

OPENING = datetime(2017, 9, 13, 6, tzinfo=UTC)


def test_off_a_terminal_each_line_begins_with_the_seconds_of_one_clock() -> None:
    console = Console(file=StringIO(), force_terminal=False, width=80)

    with showing(console) as progress:
        progress.says("creators join")
        for day in range(9):
            progress.clock(OPENING + timedelta(days=day))

    lines = console.file.getvalue().splitlines()
    assert [re.sub(r"^ +\d+\.\d s  ", "", line) for line in lines] == [
        "creators join",
        "2017-09-13 06:00 UTC",
        "2017-09-20 06:00 UTC",
    ]
    assert all(re.match(r" +\d+\.\d s  ", line) for line in lines)


def test_on_a_terminal_the_caption_names_what_was_said_last() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=80)

    with console.status("starting") as status:
        progress = Progress(console, status)
        progress.clock(OPENING)
        progress.says("creators join")

        assert status.status == "2017-09-13 06:00 UTC  creators join"
