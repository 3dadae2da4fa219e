"""Whether a relay may still send: its locks fence PostgreSQL, and Kafka knows nothing of them."""

import select
from time import monotonic
from typing import Any

_ENDED = getattr(select, "POLLRDHUP", 0)
"""Also when there is something to be read yet; other systems than Linux tell of the end by themselves."""


class Hold:
    """What can be known of the locks of a connection without asking PostgreSQL.

    seconds: for how long after PostgreSQL was asked something that it answered they are taken for held. It
    keeps those of a connection that is silent for longer, and those of one that it ended itself it gives to
    others at once: but then the kernel knows, though a process that stood still has not heard of it.
    """

    def __init__(self, connection: Any, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._until = 0.0
        self._socket = select.poll()
        self._socket.register(connection._transport.get_extra_info("socket").fileno(), _ENDED)

    def was_there(self, at: float) -> None:
        """PostgreSQL has answered what it was asked at `at` (monotonic)."""
        self._until = at + self._seconds

    def is_there(self) -> bool:
        return monotonic() < self._until and not self._connection.is_closed() and not self._socket.poll(0)
