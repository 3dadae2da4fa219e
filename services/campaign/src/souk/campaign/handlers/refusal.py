"""From the rules' faults to the refusal that the caller gets."""

from collections.abc import Sequence

from souk.campaign.domain.fault import Fault
from souk.chassis.problems import FieldError, Refused


def refuse_if(faults: Sequence[Fault]) -> None:
    """Raises Refused with the first fault's reason, naming all of them, when there is any."""
    if faults:
        raise Refused(
            faults[0].reason,
            errors=[FieldError(pointer=fault.pointer, detail=fault.detail) for fault in faults],
        )
