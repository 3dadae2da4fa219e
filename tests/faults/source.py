"""Which souk was played: what a report says of it."""

import subprocess
from pathlib import Path


def commit() -> str:
    """The checkout's commit, with `-dirty` when files differ from it; empty outside of a checkout."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip()
