"""Starting one child so that it can't outlive its supervisor and, when needed, isn't root."""

import asyncio
import ctypes
import json
import os
import pwd
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from souk.local.errors import StackError

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522


@dataclass(frozen=True, slots=True)
class Spec:
    """How one process is started, known to be ready, and stopped.

    after: names of the specs that must be ready (or, when one-shot, done) first.
    prepare: runs once before the first start; settle: once after the first readiness, before it counts.
    ready: None makes it one-shot: it is done when it exits with 0.
    unprivileged: when we are root, run as `nobody` (PostgreSQL refuses root).
    stop_signal, death_signal: how it is asked to stop; what the kernel sends it when the supervisor dies.
    """

    name: str
    command: tuple[str, ...]
    ready: Callable[[], Awaitable[bool]] | None
    environment: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    prepare: Callable[[], Awaitable[None]] | None = None
    settle: Callable[[], Awaitable[None]] | None = None
    unprivileged: bool = False
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    start_within: float = 60.0
    stop_within: float = 10.0


def unprivileged_user() -> tuple[int, int] | None:
    """The (uid, gid) that stands in for root, or None when we are not root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


async def spawn(spec: Spec, log: Path, folder: Path) -> asyncio.subprocess.Process:
    """Start `spec` in a session of its own, its output appended to `log`."""
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *spec.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **spec.environment},
            start_new_session=True,
            preexec_fn=child_setup(spec.death_signal, unprivileged=spec.unprivileged),
        )


async def run(command: Sequence[str], *, unprivileged: bool = False, within: float = 60) -> tuple[int, str]:
    """Run a command to its end; its exit code and what it wrote to standard error.

    Nothing of it is left when this returns or is cancelled, its own children included.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=child_setup(signal.SIGKILL, unprivileged=unprivileged),
    )
    try:
        _, said = await asyncio.wait_for(process.communicate(), within)
    finally:
        signal_group(process.pid, signal.SIGKILL)
        await process.wait()
    return process.returncode or 0, said.decode(errors="replace").strip()


async def printed(
    command: Sequence[str | Path], environment: Mapping[str, str], within: float
) -> list[dict[str, Any]]:
    """The JSON lines that a command prints, run with `environment` besides this process's own.

    Raises StackError with its complaint when it fails, TimeoutError after `within` seconds.
    """
    running = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await asyncio.wait_for(running.communicate(), within)
    finally:
        if running.returncode is None:
            running.kill()
    if running.returncode:
        raise StackError(f"{' '.join(map(str, command))}: {errors.decode(errors='replace')}")
    return [json.loads(line) for line in out.splitlines()]


def child_setup(death_signal: signal.Signals, *, unprivileged: bool) -> Callable[[], None]:
    """What a child does between fork and exec.

    Everything it needs is looked up here, in the parent: between fork and exec a child must not import.
    """
    user = unprivileged_user() if unprivileged else None
    supervisor = os.getpid()
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    mask = 1 << _CAP_DAC_READ_SEARCH
    capabilities = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)

    def setup() -> None:
        if user is not None:
            if libc is not None:
                libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
            os.setgroups([])
            os.setgid(user[1])
            os.setuid(user[0])
            # A clone below /root or another 0700 folder must stay reachable after the drop: of root's powers
            # the child keeps only that of reading, and starts without it where even that isn't granted.
            if libc is not None and libc.capset(header, capabilities) == 0:
                libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH, 0, 0)
        if libc is not None:
            # After the change of user, which clears it.
            libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != supervisor:
                os._exit(1)

    return setup


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a child's whole process group; one that is gone already is no error."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return
