"""Schemathesis makes requests from the whole API document and finds no answer that the document does not promise."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.system import RunningSystem

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = 10
SECONDS = 60


@pytest.mark.slow
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    options = [f"--max-examples={EXAMPLES}", f"--max-time={SECONDS}", "--no-shrink"]
    with RunningSystem(tmp_path) as system:
        command = [str(program), "--config-file", str(CONFIGURATION), "run", *options, f"{system.url}/api"]
        run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600, cwd=tmp_path)
        log = system.logs()

    assert run.returncode == 0, f"{run.stdout[-20000:]}\n{run.stderr}"
    assert "unexpected error" not in log
