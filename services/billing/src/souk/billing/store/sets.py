"""Whole sets of rows in one statement, whatever their number."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, Table, Text, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from souk.chassis.prepared import Prepared


def from_rows(sql: str, kind: str, table: Table, names: Sequence[str]) -> Prepared:
    """`sql` with `{names}` and `{source}` filled in: the named columns of `table` out of `rows`, a parameter.

    kind: the composite type of a row, with these names in this order; JSON is text in it. Cheaper than an
    array a column, of which the driver looks at each value to see whether it is an array itself.
    """
    picked = (
        f"r.{name}::jsonb AS {name}" if isinstance(table.c[name].type, JSONB) else f"r.{name}"
        for name in names
    )
    source = f"(SELECT {', '.join(picked)} FROM unnest(CAST(:rows AS {kind}[])) AS r)"  # noqa: S608
    return Prepared(text(sql.format(names=", ".join(names), source=source)))


def from_arrays(sql: str, table: Table, names: Sequence[str], **more: TypeEngine[Any]) -> Prepared:
    """The same out of one array a column.

    JSON columns are given as text. more: parameters that `sql` has besides.
    """
    picked, arrays = [], []
    parameters = [bindparam(name, type_=kind) for name, kind in more.items()]
    for name in names:
        kind = table.c[name].type
        as_json = isinstance(kind, JSONB)
        picked.append(f"r.{name}::jsonb AS {name}" if as_json else f"r.{name}")
        arrays.append(f":{name}")
        parameters.append(bindparam(name, type_=ARRAY(Text() if as_json else kind)))
    listed = ", ".join(names)
    source = f"(SELECT {', '.join(picked)} FROM unnest({', '.join(arrays)}) AS r ({listed}))"  # noqa: S608
    return Prepared(text(sql.format(names=listed, source=source)).bindparams(*parameters))


def columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    """Rows turned into one list a column."""
    return {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
