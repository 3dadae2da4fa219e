"""How tests are shared out among pytest's workers: a file stays together, and so do those of one suite."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use one running suite stay in one worker, so that no two suites run at a time for them."""
    for item in items:
        place = item.path.relative_to(ROOT)
        together = "tests" if place.parts[0] == "tests" else str(place)
        item.add_marker(pytest.mark.xdist_group(together))
