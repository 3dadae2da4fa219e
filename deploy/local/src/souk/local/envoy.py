"""Envoy, run with a configuration that the gateway's own part of the repository writes."""

from pathlib import Path

from souk.local import probes
from souk.local.process import Spec


def spec(configuration: Path, admin_port: int, *, after: tuple[str, ...] = ()) -> Spec:
    """admin_port: of Envoy's own /ready, which `configuration` must open on 127.0.0.1."""
    return Spec(
        name="gateway",
        command=(
            _binary(),
            *("-c", str(configuration), "--concurrency", "1", "--disable-hot-restart"),
            *("--log-level", "warning", "--drain-time-s", "1"),
        ),
        ready=lambda: probes.http_serves(admin_port, "/ready"),
        after=after,
    )


def _binary() -> str:
    import envoy  # type: ignore[import-untyped]

    return str(Path(envoy.__file__).parent / "_bin" / "envoy")
