"""What `make` says on a machine that lacks something."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"
TOO_OLD = "#!/bin/sh\nexit 1\n"
NO_PIP = '#!/bin/sh\n[ "$1" = -c ]\n'
OFFLINE = '#!/bin/sh\n[ "$1" = -c ] || [ "$3" = --version ]\n'


@pytest.mark.parametrize(
    ("python", "said"),
    [
        (TOO_OLD, "souk needs Python 3.11 or newer as python3; install it and run make again."),
        (
            NO_PIP,
            "souk installs uv with pip: install pip for python3 (or uv itself) and run make again.",
        ),
        (OFFLINE, "uv could not be downloaded: check the network and run make again."),
    ],
    ids=["wrong Python", "no pip", "no network"],
)
def test_what_is_missing_is_named_with_what_to_do(tmp_path: Path, python: str, said: str) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python3").write_text(python)
    (programs / "python3").chmod(0o755)
    for program in ("sh", "rm", "make"):
        (programs / program).symlink_to(str(shutil.which(program)))

    made = subprocess.run(
        ["make", "-f", MAKEFILE, "install"],
        cwd=tmp_path, env={"PATH": str(programs)}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert made.returncode != 0
    assert said in made.stderr.splitlines()


@pytest.mark.parametrize("is_there", [False, True], ids=["first time", "later"])
def test_installing_shows_what_it_does_where_it_takes_long(tmp_path: Path, is_there: bool) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "uv").write_text('#!/bin/sh\necho "uv $*"\n')
    (programs / "uv").chmod(0o755)
    if is_there:
        (tmp_path / ".venv").mkdir()

    made = subprocess.run(
        ["make", "-f", MAKEFILE, "install"],
        cwd=tmp_path, env={"PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert made.stdout == ("uv sync --frozen --quiet\n" if is_there else "uv sync --frozen\n")
    assert made.stderr == ("" if is_there else "installing souk's packages into .venv\n")
