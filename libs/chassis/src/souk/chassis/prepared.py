"""Statements that are compiled once and executed by the driver itself.

SQLAlchemy's execution of a statement costs several times what asyncpg needs for it; on the path of every
request that is most of the request (decision 0012). What is said in Core stays said in Core.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from asyncpg import Record
from sqlalchemy import ClauseElement, Dialect
from sqlalchemy.dialects.postgresql import asyncpg

_DIALECT: Dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]


class Found(Record):  # type: ignore[misc]
    """A row that reads as SQLAlchemy's does: `row.name`, `row._mapping`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def _mapping(self) -> Mapping[str, Any]:
        return dict(self.items())


class Prepared:
    """`FIND = Prepared(select(thing).where(thing.c.id == bindparam("thing")))`, once a module.

    Its parameters are given by name when it is executed, by `Work.run`. A parameter that
    was given a value in Core keeps it. Raises TypeError when first used with a column whose type makes
    something else of what the driver returns: nobody would.
    """

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement

    @cached_property
    def sql(self) -> str:
        return str(self._compiled)

    def arguments(self, parameters: Mapping[str, Any] | None) -> Iterator[Any]:
        """The driver's, in its order. Raises KeyError for a parameter that isn't given."""
        given = parameters or {}
        for name, fixed, process in self._binds:
            value = given[name] if fixed is None else fixed[0]
            yield process(value) if process else value

    @cached_property
    def _compiled(self) -> Any:
        compiled: Any = self._statement.compile(dialect=_DIALECT)
        for column in getattr(self._statement, "exported_columns", ()):
            if column.type.dialect_impl(_DIALECT).result_processor(_DIALECT, None):
                raise TypeError(f"{column} is not what the driver returns")
        return compiled

    @cached_property
    def _binds(self) -> list[tuple[str, tuple[Any] | None, Callable[[Any], Any] | None]]:
        found = []
        for name in self._compiled.positiontup or ():
            bind = self._compiled.binds[name]
            process = bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)
            found.append((bind.key, None if bind.required else (bind.value,), process))
        return found
