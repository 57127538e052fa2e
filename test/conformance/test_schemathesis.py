"""Schemathesis makes requests from the whole API document and finds no answer that the document does not promise."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.system import RunningSystem

EXAMPLES = 12
SECONDS = 90


@pytest.mark.slow
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        "--seed=1",
        f"--max-examples={EXAMPLES}",
        f"--max-time={SECONDS}",
        "--request-timeout=40",
        "--continue-on-failure",
        "--no-shrink",
    ]
    with RunningSystem(tmp_path) as system:
        run = subprocess.run(
            [*command, f"{system.url}/api"], check=False, capture_output=True, text=True, timeout=600, cwd=tmp_path
        )

    assert run.returncode == 0, f"{run.stdout[-20000:]}\n{run.stderr}"
