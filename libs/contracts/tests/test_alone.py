"""Other systems install souk-contracts and nothing else of souk."""

import json
import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

PACKAGE = Path(__file__).parents[1]
PROGRAM = """
import json, sys
from importlib.metadata import distributions
from souk.contracts.topics import TOPICS, topic_named
for topic in TOPICS:
    for sample in json.load(open(f"{sys.argv[1]}/{topic.name}.0.json")).values():
        topic.parse(json.dumps(sample).encode())
names = sorted(d.metadata["Name"].lower().replace("_", "-") for d in distributions())
print(json.dumps({"installed": names, "loaded": sorted({m.partition(".")[0] for m in sys.modules})}))
"""


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An empty environment with the wheel of souk-contracts in it; its Python."""
    uv = which("uv")
    if uv is None:
        pytest.skip("uv is not on the path")

    def run(*arguments: str) -> None:
        quiet = {**os.environ, "UV_NO_PROGRESS": "1", "VIRTUAL_ENV": ""}
        subprocess.run([uv, *arguments], check=True, capture_output=True, timeout=120, env=quiet)

    run("build", "--wheel", "--out-dir", str(tmp_path), str(PACKAGE))
    (wheel,) = tmp_path.glob("souk_contracts-*.whl")
    run("venv", "--python", sys.executable, str(tmp_path / "venv"))
    python = tmp_path / "venv" / "bin" / "python"
    run("pip", "install", "--python", str(python), str(wheel))
    return python


def test_contracts_install_alone_and_read_every_sample(environment):
    ran = subprocess.run(
        [environment, "-I", "-c", PROGRAM, PACKAGE / "samples"], check=True, capture_output=True, timeout=60
    )

    found = json.loads(ran.stdout)
    of_pydantic = {"pydantic", "pydantic-core", "annotated-types", "typing-extensions", "typing-inspection"}
    assert set(found["installed"]) - of_pydantic == {"souk-contracts"}
    assert not {"yaml", "jsonschema", "hypothesis"} & set(found["loaded"])
