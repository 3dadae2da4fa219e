"""One undisturbed month, and one running suite, each shared by all tests that look at it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from months import play
from running import Suite, running

from souk.local.folder import Folder

SEED = "7"


@pytest.fixture(scope="session")
def month(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The statement of the packaged file's month."""
    return play(Folder(tmp_path_factory.mktemp("month") / "data"), "--seed", SEED)


@pytest.fixture(scope="session")
async def suite() -> AsyncIterator[Suite]:
    """All services on their servers, behind the gateway, with the clock that tests move."""
    async with running() as started:
        yield started
