"""How tests are shared out among pytest's workers."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_APART = ("/test_month.py", "/test_rig.py")


class _ByFile(LoadScopeScheduling):
    """A file's tests stay in one worker, and so do all that use the running suite: no two run at a time.

    The months and the rig take longest and have nothing in common with that suite: each is a part of its own.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests" if file.startswith("tests/") and not file.endswith(_APART) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return _ByFile(config, log)
