"""Connections to the service's own PostgreSQL database."""

from typing import Any

from sqlalchemy import event, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 60
_PARTED = "08"
_CLOSED = (
    "28",  # invalid_authorization_specification
    "3D",  # invalid_catalog_name
    "42501",  # insufficient_privilege
)
_RETRYABLE = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "55P03",  # lock_not_available
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now
        "57P05",  # idle_session_timeout
        "25P03",  # idle_in_transaction_session_timeout
        "53000",  # insufficient_resources
        "53100",  # disk_full
        "53200",  # out_of_memory
        "53300",  # too_many_connections
    }
)


def open_engine(url: str, application: str, pool: int = 10) -> AsyncEngine:
    """A pool of at most `pool` connections to `postgresql://user:password@host:port/database`.

    application: shown in pg_stat_activity. A statement ends after 60 s, a connection attempt after 5 s.
    Each statement commits by itself: transactions are opened by `souk.chassis.work.Units`, whose BEGIN and
    COMMIT go to the driver.
    """
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        pool_size=pool,
        max_overflow=0,
        pool_timeout=CONNECT_SECONDS,
        isolation_level="AUTOCOMMIT",
        pool_recycle=1800,
        hide_parameters=True,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": STATEMENT_SECONDS,
            # A bare statement cache entry a plan: the shapes of a service's statements are few.
            "prepared_statement_cache_size": 500,
            "server_settings": {
                "application_name": application,
                "jit": "off",
                "idle_in_transaction_session_timeout": str(STATEMENT_SECONDS * 1000),
                "statement_timeout": str(STATEMENT_SECONDS * 1000),
            },
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_lost)
    return engine


def _refuse_lost(connection: Any, *_: object) -> None:
    """The pool opens another in its place. The loop hears of an end of the server at once; to ask the
    server would be three round trips on every request's way."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def bare_dsn(engine: AsyncEngine) -> str:
    """The engine's database for a connection outside its pool (asyncpg.connect); holds the password."""
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed when it is simply done again.

    True for a lost or refused connection, a time-out, a deadlock, a serialization failure, a full
    server; False for everything that the work itself brought about.
    """
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        state = getattr(error.orig, "sqlstate", None)
        return state is not None and (state.startswith(_PARTED) or state in _RETRYABLE)
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return state.startswith(_PARTED) or state in _RETRYABLE
    # TimeoutError is an OSError; the pool's own is SQLAlchemy's TimeoutError.
    return isinstance(error, OSError) or type(error).__name__ in _LOST


def is_refused(error: BaseException) -> bool:
    """Whether the database does not let this login in, or do this."""
    state = getattr(getattr(error, "orig", None) or error, "sqlstate", None) or ""
    return state.startswith(_CLOSED)


_LOST = frozenset({"TimeoutError", "InterfaceError", "InternalClientError"})
"""The last is what a statement meets that is sent while the server's last word is being read."""
