"""The jars of Apache Kafka, from Maven Central, exactly as `kafka.lock` names them."""

import fcntl
import hashlib
import json
import logging
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from souk.local.errors import StackError


class Jar(NamedTuple):
    group: str
    artifact: str
    version: str
    sha256: str


def locked_jars() -> tuple[Jar, ...]:
    lines = files("souk.local").joinpath("kafka.lock").read_text().splitlines()
    return tuple(Jar(*line.split()) for line in lines if line and not line.startswith("#"))


def cache_folder() -> Path:
    """Where things that every data folder can share are kept (SOUK_CACHE, else the user's cache)."""
    base = os.environ.get("SOUK_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "souk"
    folder = Path(base).expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def classpath() -> tuple[Path, ...]:
    """The jars' paths, downloaded and checked on first use. Raises StackError."""
    jars = locked_jars()
    digest = hashlib.sha256(repr(jars).encode()).hexdigest()[:16]
    index = cache_folder() / f"kafka-{digest}.json"
    if paths := _indexed(index):
        return paths
    # Two that download at once find each other's half-written files: the second waits for the first.
    with index.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if paths := _indexed(index):
            return paths
        paths = _download(jars)
        with tempfile.NamedTemporaryFile("w", dir=index.parent, delete=False) as file:
            json.dump([str(path) for path in paths], file)
        Path(file.name).replace(index)
    return paths


def _indexed(index: Path) -> tuple[Path, ...]:
    """The jars of an earlier download; none when it was never finished or something was removed since."""
    if not index.exists():
        return ()
    paths = tuple(Path(path) for path in json.loads(index.read_text()))
    return paths if all(path.exists() for path in paths) else ()


def _download(jars: tuple[Jar, ...]) -> tuple[Path, ...]:
    # Imported here: it takes longer than reading the index of a warm start.
    from jgo.maven import MavenContext

    # Its warnings repeat what the sentence below says.
    logging.getLogger("jgo").setLevel(logging.ERROR)
    maven = MavenContext(timeout=30)

    def resolve(jar: Jar) -> Path:
        try:
            path: Path = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        except Exception as error:
            raise StackError(
                f"{jar.artifact}-{jar.version}.jar of Apache Kafka could not be had from Maven Central "
                f"({type(error).__name__}): check the network or proxy and try again."
            ) from error
        if hashlib.sha256(path.read_bytes()).hexdigest() != jar.sha256:
            path.unlink()
            raise StackError(
                f"{path.name} was downloaded damaged or altered, and has been removed: try again, "
                "or check who answers for Maven Central in your network."
            )
        return path

    with ThreadPoolExecutor(8) as pool:
        return tuple(pool.map(resolve, jars))
