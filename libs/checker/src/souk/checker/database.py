"""Connections that can only read."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

Connection = Any
"""An asyncpg connection; the library has no types."""

_CONNECT_SECONDS = 10
_STATEMENT_SECONDS = 600


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Connection]:
    """A connection whose transactions PostgreSQL keeps from writing; JSON comes as Python values.

    url: postgresql://user:password@host:port/database.
    """
    connection = await asyncpg.connect(
        url,
        timeout=_CONNECT_SECONDS,
        command_timeout=_STATEMENT_SECONDS,
        server_settings={
            "application_name": "souk checker",
            "default_transaction_read_only": "on",
            "statement_timeout": str(_STATEMENT_SECONDS * 1000),
            "jit": "off",
        },
    )
    try:
        for kind in ("json", "jsonb"):
            await connection.set_type_codec(kind, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        yield connection
    finally:
        await connection.close(timeout=_CONNECT_SECONDS)


@asynccontextmanager
async def snapshot(url: str) -> AsyncIterator[Connection]:
    """A connection that sees the database as it is at its first question, until the end of the block."""
    async with reading(url) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        yield connection
