"""What is said of an error in logs, spans and dead letters: nothing that a row or a record holds."""

from traceback import walk_tb
from typing import Any

_LONGEST = 2000
_QUOTES_NO_VALUE = {"08", "23", "25", "40", "42", "53", "55", "57"}
"""Classes of SQLSTATE whose messages name only tables, columns and constraints. Others quote what was given
(`invalid input syntax for type integer: "…"`), and the DETAIL of any may quote a row."""
_ENCODERS = ("asyncpg/protocol/", "asyncpg/pgproto/", "sqlalchemy/sql/sqltypes")
"""Where arguments are brought into their database type: what fails there quotes them (`invalid UUID '…'`)."""
_OF_ARGUMENTS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)


def explain(error: BaseException) -> str:
    """An error in a sentence, without values of rows, records or parameters: they are personal data.

    Of PostgreSQL's errors the SQLSTATE and what names no value, of a validation's the places and messages,
    of an argument that fits no column the type alone.
    """
    while (wrapped := getattr(error, "orig", None)) is not None:  # SQLAlchemy's, twice around the driver's
        error = wrapped
    if _is_of_an_argument(error):
        return type(error).__name__
    # A NUL, which pydantic quotes of what is no UUID, is no text to PostgreSQL.
    return f"{type(error).__name__}: {_told(error)}".replace("\0", "")[:_LONGEST]


def _is_of_an_argument(error: BaseException) -> bool:
    return isinstance(error, _OF_ARGUMENTS) and any(
        part in frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__) for part in _ENCODERS
    )


def _told(error: BaseException) -> str:
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return f"{state} {error.args[0]}" if error.args and state[:2] in _QUOTES_NO_VALUE else str(state)
    faults: Any = getattr(error, "errors", None)
    if callable(faults):  # of pydantic and FastAPI
        return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in faults())
    return str(error)
