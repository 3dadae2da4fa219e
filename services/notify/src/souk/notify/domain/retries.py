"""When something that an outside server did not take is tried again, and when no more."""

from datetime import timedelta

MOST_ATTEMPTS = 9
"""With the waits below the last one is about seven hours after the first."""

_FIRST_SECONDS = 2
_FACTOR = 4
_LONGEST = timedelta(hours=4)


def wait_before(attempts: int, asked: timedelta | None = None) -> timedelta | None:
    """How long to wait after `attempts` refused ones, wall time; None when it is given up.

    asked: what the server wants (Retry-After); granted up to the longest wait of our own.
    """
    if attempts >= MOST_ATTEMPTS:
        return None
    own = min(timedelta(seconds=_FIRST_SECONDS * _FACTOR ** (attempts - 1)), _LONGEST)
    return min(max(own, asked or timedelta()), _LONGEST)
