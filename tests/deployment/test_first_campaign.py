"""docs/first-campaign.md: its commands lead to the payment that it shows, in a suite of their own."""

import re
import subprocess
from pathlib import Path

import pytest
from months import outside_make

from souk.local.folder import free_port

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "first-campaign.md").read_text()
PATIENCE = 290.0


def blocks(language: str) -> str:
    return "".join(re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL))


@pytest.mark.long
@pytest.mark.timeout(PATIENCE + 60)
def test_its_commands_lead_from_nothing_to_the_payment_that_it_shows(tmp_path: Path) -> None:
    port = free_port(set())
    environment = {**outside_make(), "SOUK_DATA": str(tmp_path / "data"), "SOUK_GATEWAY_PORT": str(port)}
    script = blocks("sh").replace("127.0.0.1:8080", f"127.0.0.1:{port}")

    try:
        done = subprocess.run(
            ["sh", "-euc", script],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    finally:
        subprocess.run(["make", "down"], cwd=ROOT, env=environment, capture_output=True, check=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert blocks("text").strip() in done.stdout.splitlines()
