"""What is for staff, whatever level somebody else was given in its area."""

from souk.chassis.auth import Principal
from souk.chassis.problems import Refused
from souk.contracts.reasons import Reason


def staff_only(who: Principal) -> None:
    """Raises Refused(forbidden) for everybody else."""
    if who.role != "staff":
        raise Refused(Reason.FORBIDDEN)
