"""What is said of an error in logs, spans and dead letters: nothing that a row or a record holds."""

from typing import Any

_LONGEST = 2000
_QUOTES_NO_VALUE = {"08", "23", "25", "40", "42", "53", "55", "57"}
"""Classes of SQLSTATE whose messages name only tables, columns and constraints. Others quote what was given
(`invalid input syntax for type integer: "…"`), and the DETAIL of any may quote a row."""


def explain(error: BaseException) -> str:
    """An error in a sentence, without values of rows, records or parameters: they are personal data.

    Of PostgreSQL's errors the SQLSTATE and what names no value, of a validation's the places and messages.
    """
    while (wrapped := getattr(error, "orig", None)) is not None:  # SQLAlchemy's, twice around the driver's
        error = wrapped
    return f"{type(error).__name__}: {_told(error)}"[:_LONGEST]


def _told(error: BaseException) -> str:
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return f"{state} {error.args[0]}" if error.args and state[:2] in _QUOTES_NO_VALUE else str(state)
    faults: Any = getattr(error, "errors", None)
    if callable(faults):  # of pydantic and FastAPI
        return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in faults())
    return str(error)
