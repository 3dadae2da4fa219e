"""The request's unit of work: opened by the first who needs it, ended by the route."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from fastapi import Request

from souk.chassis.work import Units, Work


@dataclass(slots=True)
class Unit:
    """What a route lends to its request as `request.state.unit`; the unit of work ends with the stack."""

    units: Units
    read_only: bool
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    work: Work | None = None


async def work_of(request: Request) -> Work:
    """The unit of work of this request, opened on first use; read-only for GET and HEAD."""
    unit: Unit = request.state.unit
    if unit.work is None:
        unit.work = await unit.stack.enter_async_context(unit.units.begin(read_only=unit.read_only))
    return unit.work
