"""No service opens what isn't its own. One parametrised table each for databases and topics."""

from collections.abc import Callable

import asyncpg
import pytest

from souk.contracts.topic import SERVICES
from souk.local.stack import Stack
from souk.local.testing import MakeDatabase


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_opens_its_own_database(stack: Stack, service: str) -> None:
    connection = await asyncpg.connect(stack.postgres.url(service), timeout=10)

    assert (
        await connection.fetchval("SELECT current_user || '@' || current_database()")
        == f"{service}@{service}"
    )
    await connection.execute("CREATE TABLE mine (id int); DROP TABLE mine")

    await connection.close()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_opens_no_other_database(stack: Stack, service: str) -> None:
    others = [name for name in (*SERVICES, "postgres", "template1") if name != service]

    for other in others:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(stack.postgres.url(service, other), timeout=10)


def test_a_service_login_has_no_power_over_the_cluster(admin_sql: Callable[[str], str]) -> None:
    roles = ", ".join(f"'{service}'" for service in SERVICES)

    powerful = admin_sql(
        f"SELECT rolname FROM pg_roles WHERE rolname IN ({roles}) "
        "AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)"
    )
    owned = admin_sql(
        "SELECT datname || '=' || pg_get_userbyid(datdba) FROM pg_database "
        f"WHERE datname IN ({roles}) ORDER BY datname"
    )

    assert powerful == ""
    assert owned.split() == [f"{service}={service}" for service in sorted(SERVICES)]


async def test_a_database_made_for_a_test_is_its_services_alone(stack: Stack, database: MakeDatabase) -> None:
    made = database("billing")

    connection = await asyncpg.connect(made.url, timeout=10)
    await connection.close()

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(stack.postgres.url("campaign", made.name), timeout=10)
