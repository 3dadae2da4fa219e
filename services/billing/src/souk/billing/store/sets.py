"""Whole sets of rows in one statement: one array a column, whatever their number."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, Table, Text, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from souk.chassis.prepared import Prepared


def from_arrays(sql: str, table: Table, names: Sequence[str], **more: TypeEngine[Any]) -> Prepared:
    """`sql` with `{names}` and `{source}` filled in: the named columns of `table` out of arrays.

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
