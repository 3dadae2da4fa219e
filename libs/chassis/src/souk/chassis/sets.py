"""A set of values in a statement whose text is the same however many they are."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, any_, literal


def among(column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """`column` is one of `values`: one array, not a parameter each as `in_` has.

    That would be at most 32,767; and each number of them is another statement, prepared and kept by every
    connection of the pool.
    """
    return column == any_(literal(list(values), ARRAY(column.type)))
