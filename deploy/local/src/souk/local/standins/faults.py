"""Faults that a test switches on: an answer of another status, a slow answer, a connection that breaks."""

from collections.abc import Sequence
from itertools import count
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_FAULTS = 100
_LONGEST_SECONDS = 600
SMTP = "/smtp"
"""What stands for mail in `path_prefix`."""


class Fault(BaseModel):
    """What happens to the next `times` requests below `path_prefix`; exactly one of status, slow and reset.

    status: the answer (below /smtp a reply code); reason: what Google's error body says then.
    slow: seconds until the request is worked on, or, of a mail's content, until it is answered. reset:
    it is worked on (a mail's content is kept), and the connection breaks before its answer is whole.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path_prefix: Annotated[str, Field(pattern=r"^/(youtube|push|mail|smtp)", max_length=500)]
    status: Annotated[int | None, Field(ge=400, le=599)] = None
    reason: Annotated[str | None, Field(max_length=100)] = None
    slow: Annotated[float | None, Field(gt=0, le=_LONGEST_SECONDS)] = None
    reset: bool = False
    times: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.status is not None) + (self.slow is not None) + self.reset != 1:
            raise ValueError("give one of status, slow and reset")
        return self


class Faults:
    """The faults that are switched on, in the order in which they were."""

    def __init__(self) -> None:
        self._left: dict[int, tuple[Fault, int]] = {}
        self._numbers = count(1)

    def add(self, fault: Fault) -> int | None:
        """The number that it gets; None when there are too many already."""
        if len(self._left) >= MOST_FAULTS:
            return None
        number = next(self._numbers)
        self._left[number] = (fault, fault.times)
        return number

    def clear(self) -> None:
        self._left.clear()

    def listed(self) -> Sequence[tuple[int, Fault, int]]:
        """The number of each fault, the fault, and how often it will still happen."""
        return tuple((number, *each) for number, each in self._left.items())

    def take(self, path: str) -> Fault | None:
        """The fault that happens to this request, used up by once."""
        for number, (fault, left) in self._left.items():
            if path.startswith(fault.path_prefix):
                if left > 1:
                    self._left[number] = (fault, left - 1)
                else:
                    del self._left[number]
                return fault
        return None
