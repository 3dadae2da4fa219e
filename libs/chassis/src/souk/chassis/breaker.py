"""When to stop a partition instead of parking: a bad deployment must not park the world."""

from dataclasses import dataclass, replace

_WINDOW = 100
_RATIO = 0.5
_FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 600.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """What is known of one partition's last records.

    limit: parked records in a row that stop it. outcomes: of the last 100 records one bit each, 1 for
    parked. seen: how many bits count. pause: seconds of its last stop, 0.0 while it is closed; while
    it is not, one record is tried and nothing is parked.
    """

    limit: int
    run: int = 0
    outcomes: int = 0
    seen: int = 0
    pause: float = 0.0

    @property
    def is_open(self) -> bool:
        return self.pause > 0.0

    def refuses(self) -> bool:
        """Whether another record that can't be applied stops the partition instead of being parked."""
        too_many = self.seen >= 2 * self.limit and self.outcomes.bit_count() > _RATIO * self.seen
        return self.is_open or self.run >= self.limit or too_many

    def applied(self) -> "Breaker":
        """After a record that went well: closed, and what lies before a stop is forgotten."""
        if self.is_open:
            return Breaker(self.limit)
        return replace(self._next(0), run=0)

    def parked(self) -> "Breaker":
        return replace(self._next(1), run=self.run + 1)

    def stopped(self) -> "Breaker":
        """After a refusal: each pause is twice the one before, from 30 s to 10 min."""
        return replace(self, pause=min(max(self.pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE))

    def _next(self, outcome: int) -> "Breaker":
        window = (self.outcomes << 1 | outcome) & ((1 << _WINDOW) - 1)
        return replace(self, outcomes=window, seen=min(self.seen + 1, _WINDOW))
