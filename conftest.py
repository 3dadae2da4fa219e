"""How tests are shared out among pytest's workers."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling


class _ByFile(LoadScopeScheduling):
    """A file's tests stay in one worker, and so do all that use the running suite: no two run at a time.

    The months take longest and have nothing in common with that suite, so they are a part of their own.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests" if file.startswith("tests/") and not file.endswith("/test_month.py") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return _ByFile(config, log)
