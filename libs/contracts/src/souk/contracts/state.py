"""What every state on a topic has, and how its fields are classed."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Part(BaseModel):
    """A part of a state. Frozen; a producer that passes an unknown field is wrong and is told so."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class State(Part):
    """One aggregate's full state at a version.

    A consumer keeps the highest version it saw and drops the rest, so duplicates, reordering and
    replay are harmless.
    """

    id: UUID
    version: Annotated[int, Field(ge=1)]
    changed_at: Annotated[AwareDatetime, Field(description="the suite's clock when this version was made")]


def classed(data_class: str, **field: Any) -> Any:
    """A field whose data class differs from its topic's: `internal`, `personal` or `secret`."""
    return Field(json_schema_extra={"x-data-class": data_class}, **field)


Instant = AwareDatetime
__all__ = ["Instant", "Part", "State", "classed", "datetime"]
