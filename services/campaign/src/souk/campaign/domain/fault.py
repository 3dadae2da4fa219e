"""Why a brief is refused, field by field, so that a refusal can name everything at once."""

from dataclasses import dataclass

from souk.contracts.reasons import Reason


@dataclass(frozen=True, slots=True)
class Fault:
    """pointer: JSON pointer of the field (RFC 6901). detail: one English sentence."""

    reason: Reason
    pointer: str
    detail: str
