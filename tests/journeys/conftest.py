"""One undisturbed month, and one running suite, each shared by all tests that look at it."""

import shlex
from collections.abc import AsyncIterator
from typing import Any

import pytest
from months import README_MONTH, run
from running import Suite, running

from souk.local.folder import Folder


@pytest.fixture(scope="session")
def month(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The statement of the packaged file's month, as the README has it played."""
    return run(shlex.split(README_MONTH), Folder(tmp_path_factory.mktemp("month") / "data"))


@pytest.fixture(scope="session")
async def suite() -> AsyncIterator[Suite]:
    """All services on their servers, behind the gateway, with the clock that tests move."""
    async with running() as started:
        yield started
