"""Merge patches (RFC 7396): what a request names, and which fields it may take away."""

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel

from souk.chassis.problems import FieldError, Refused
from souk.contracts.reasons import Reason


def named_in(request: BaseModel) -> dict[str, Any]:
    """The fields that the request names, with the values as parsed; nested models as mappings likewise."""
    return {
        name: named_in(value) if isinstance(value, BaseModel) else value
        for name, value in request
        if name in request.model_fields_set
    }


def changes_of(edit: BaseModel, nullable: Collection[str]) -> dict[str, Any]:
    """`named_in`, for an edit. Raises Refused(invalid) for a null in a field that isn't `nullable`."""
    changes = named_in(edit)
    errors = [
        FieldError(pointer=f"/{name}", detail="this can't be taken away")
        for name, value in changes.items()
        if value is None and name not in nullable
    ]
    if errors:
        raise Refused(Reason.INVALID, errors=errors)
    return changes
