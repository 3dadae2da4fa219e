"""Conditions on whole sets of values."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, any_, literal


def among(column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """`column` is one of `values`, however many: one array, not a parameter each (32,767 at most)."""
    return column == any_(literal(list(values), ARRAY(column.type)))
