"""Set-based writes that stores share."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    JSON,
    Column,
    MetaData,
    Select,
    Table,
    Text,
    bindparam,
    column,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ColumnElement, Executable, FromClause
from sqlalchemy.types import TypeEngine

from souk.chassis.work import Work

Rows = Sequence[Mapping[str, Any]]

_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

STAGED_FROM = 2000
"""Rows from which a COPY into a staging table beats arrays of parameters."""


async def upsert_newer(work: Work, table: Table, rows: Rows) -> set[UUID]:
    """Insert or replace the rows of a read copy that are newer than what it holds; the ids of those.

    table: has `id` (primary key) and `version`. rows: by column name, all with the same columns; of
    two with one id the newer counts. A column that the rows don't name keeps its value. Rows are taken
    in the order of their ids, so that two workers can't wait for each other.
    """
    if not rows:
        return set()
    newest: dict[UUID, Mapping[str, Any]] = {}
    for row in rows:
        kept = newest.get(row["id"])
        if kept is None or kept["version"] < row["version"]:
            newest[row["id"]] = row
    ordered = [newest[key] for key in sorted(newest, key=attrgetter("int"))]
    names = tuple(ordered[0])
    if len(ordered) >= STAGED_FROM:
        statement = _upsert(table, names, await _staged(work, table, names, ordered))
        return set(await work.scalar(statement) or ())
    return set(await work.scalar(_upsert_unnested(table, names), _arrays(table, names, ordered)) or ())


@lru_cache(maxsize=256)
def _upsert_unnested(table: Table, names: tuple[str, ...]) -> Executable:
    """Made once for each table: its making costs as much as a hundred rows."""
    return _upsert(table, names, _unnested(table, names))


def _upsert(table: Table, names: Sequence[str], source: Select[Any]) -> Select[Any]:
    """The upsert out of `source`; gives the ids in one array, which is read faster than as many rows."""
    statement = insert(table).from_select(list(names), source)
    statement = statement.on_conflict_do_update(
        index_elements=[table.c.id],
        set_={name: statement.excluded[name] for name in names if name != "id"},
        where=table.c.version < statement.excluded.version,
    )
    newer = statement.returning(table.c.id).cte("newer")
    return select(func.array_agg(newer.c.id))


async def copy_rows(work: Work, table: Table, rows: Rows) -> None:
    """Append `rows` to `table` by COPY: the way for thousands of new rows. All have the same columns."""
    if rows:
        await _copy(work, table, table.name, list(rows[0]), rows)


def _unnested(table: Table, names: Sequence[str]) -> Select[Any]:
    """The rows as one array a column: one plan, whatever their number."""
    arrays: list[ColumnElement[Any]] = []
    columns: list[Column[Any]] = []
    picked: list[ColumnElement[Any]] = []
    for name in names:
        kind = table.c[name].type
        if _goes_as_json(kind):
            arrays.append(bindparam(f"v_{name}", type_=ARRAY(Text)))
            columns.append(Column(name, Text))
            picked.append(_from_json(name, kind))
        else:
            arrays.append(bindparam(f"v_{name}", type_=ARRAY(kind)))
            columns.append(Column(name, kind))
            picked.append(column(name, kind))
    source: FromClause = func.unnest(*arrays).table_valued(*columns, name="rows").render_derived(name="rows")
    return select(*picked).select_from(source)


def _arrays(table: Table, names: Sequence[str], rows: Rows) -> dict[str, list[Any]]:
    arrays: dict[str, list[Any]] = {}
    for name in names:
        values = [row[name] for row in rows]
        arrays[f"v_{name}"] = [*map(_json, values)] if _goes_as_json(table.c[name].type) else values
    return arrays


def _goes_as_json(kind: TypeEngine[Any]) -> bool:
    """Arrays as well: unnest would flatten an array of arrays."""
    return isinstance(kind, ARRAY | JSON)


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, default=str)


def _from_json(name: str, kind: TypeEngine[Any]) -> ColumnElement[Any]:
    name_sql = f'rows."{name}"'
    kind_sql = kind.compile(dialect=_DIALECT)
    if isinstance(kind, ARRAY):
        elements = f"ARRAY(SELECT jsonb_array_elements_text({name_sql}::jsonb))::{kind_sql}"
        return literal_column(f"CASE WHEN {name_sql} IS NOT NULL THEN {elements} END", kind)
    return literal_column(f"{name_sql}::{kind_sql}", kind)


async def _staged(work: Work, table: Table, names: Sequence[str], rows: Rows) -> Select[Any]:
    """The rows in a table of this transaction alone."""
    stage = table.to_metadata(MetaData(), name=f"stage_{table.name}")
    columns = ", ".join(f'"{name}"' for name in names)
    empty = f'SELECT {columns} FROM "{table.name}" WITH NO DATA'  # noqa: S608  names of our own tables
    await work.execute(text(f"DROP TABLE IF EXISTS pg_temp.{stage.name}"))
    await work.execute(text(f"CREATE TEMP TABLE {stage.name} ON COMMIT DROP AS {empty}"))
    await _copy(work, table, stage.name, names, rows)
    return select(*(stage.c[name] for name in names)).order_by(stage.c.id)


async def _copy(work: Work, table: Table, into: str, names: Sequence[str], rows: Rows) -> None:
    driver = (await work.connection.get_raw_connection()).driver_connection
    assert driver is not None
    as_json = {name for name in names if isinstance(table.c[name].type, JSON)}
    records = [tuple(_json(row[name]) if name in as_json else row[name] for name in names) for row in rows]
    await driver.copy_records_to_table(into, records=records, columns=list(names))
