"""Whole sets of values in one statement, whose text is the same however many they are."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    FromClause,
    Table,
    bindparam,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert

from souk.chassis.work import Work


def all_among(columns: Sequence[Column[Any]], keys: Collection[Sequence[Any]]) -> ColumnElement[bool]:
    """The `columns` of a row are together one of `keys`."""
    names = [each.name for each in columns]
    rows = [dict(zip(names, key, strict=True)) for key in keys]
    return tuple_(*columns).in_(select(given(columns, rows)))


def given(columns: Sequence[Column[Any]], rows: Collection[Mapping[str, Any]]) -> FromClause:
    """`rows` as a table `given` with the names and types of `columns`: one array a column.

    Raises TypeError for a column that is an array itself: unnest would take it apart.
    """
    return _table(columns, [literal([row[each.name] for row in rows], ARRAY(each.type)) for each in columns])


def taken(columns: Sequence[Column[Any]]) -> FromClause:
    """The same out of the parameters that `arrays` makes: for a statement that is made once."""
    return _table(columns, [bindparam(f"v_{each.name}", type_=ARRAY(each.type)) for each in columns])


def arrays(columns: Sequence[Column[Any]], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    """The parameters of `taken`, of rows in the order of its columns. Raises ValueError for none."""
    values = zip(*rows, strict=True)
    return {f"v_{each.name}": list(column) for each, column in zip(columns, values, strict=True)}


def _table(columns: Sequence[Column[Any]], values: Sequence[ColumnElement[Any]]) -> FromClause:
    if any(isinstance(each.type, ARRAY) for each in columns):
        raise TypeError("an array of arrays can't be given")
    valued = func.unnest(*values).table_valued(*(Column(each.name, each.type) for each in columns))
    return valued.render_derived(name="given")


async def insert_absent(work: Work, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those of `rows` whose `id` is not there, in their order; all have the same columns."""
    if rows:
        columns = [table.c[name] for name in rows[0]]
        statement = insert(table).from_select(columns, select(given(columns, rows)))
        await work.execute(statement.on_conflict_do_nothing(index_elements=[table.c.id]))
