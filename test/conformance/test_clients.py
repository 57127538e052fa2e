"""Clients that others wrote run a job to its result on the running system: OWSLib and cuiman."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from owslib.ogcapi.processes import Processes
from support import wait_until
from support.system import RunningSystem

CUIMAN = "cuiman==0.3.1"


@pytest.fixture
def owslib(running_system: RunningSystem) -> Processes:
    return Processes(running_system.url)


def test_owslib_finds_the_api_document_and_the_processes(owslib: Processes) -> None:
    assert owslib.api()["openapi"].startswith("3.0")
    assert {"echo", "summary", "histogram"} <= {process["id"] for process in owslib.processes()}
    assert owslib.process("echo")["id"] == "echo"


def test_owslib_runs_a_job_and_waits_for_its_result(owslib: Processes) -> None:
    result = owslib.execute("echo", inputs={"string": "hello", "integer": 3})

    assert result == {"string": "hello", "integer": 3}


def test_owslib_starts_a_job_and_fetches_its_result_later(owslib: Processes) -> None:
    inputs = {"table": {"a": [1, 2, 2, 5]}, "column": "a", "bins": 2}
    job = owslib.execute("histogram", inputs=inputs, async_=True)
    assert job["status"] in {"accepted", "running", "successful"}

    def is_over() -> bool:
        return owslib._request(path=f"jobs/{job['jobID']}")["status"] == "successful"

    wait_until(is_over, what="the job is successful")
    result = owslib._request(path=f"jobs/{job['jobID']}/results")
    assert result["histogram"]["value"]["counts"] == [3, 1]


@pytest.mark.slow
def test_cuiman_runs_a_job_to_its_result(running_system: RunningSystem) -> None:
    python = _newer_python()
    if not python:
        pytest.skip(f"{CUIMAN} needs Python 3.12 or newer, and there is none")
    script = Path(__file__).parent / "cuiman_client.py"
    command = [
        sys.executable,
        "-m",
        "uv",
        "run",
        "--no-project",
        "--quiet",
        "--python",
        python,
        "--with",
        CUIMAN,
        str(script),
    ]

    run = subprocess.run([*command, running_system.url], check=False, capture_output=True, text=True, timeout=300)

    assert run.returncode == 0, run.stdout + run.stderr
    seen = json.loads(run.stdout.splitlines()[-1])
    assert seen["statuses"][-1] == "successful"
    assert seen["results"] == {"string": "hello", "array": [1, 2], "object": {"value": {"a": 1}}}
    assert seen["dismissed"] == "dismissed"
    assert seen["unknown"] == 404
    assert httpx.get(f"{running_system.url}/jobs/{seen['job']}", timeout=30).json()["processID"] == "echo"


def _newer_python() -> str:
    """A Python that cuiman runs on: this one, else the first one found; empty when there is none."""
    if sys.version_info >= (3, 12):
        return sys.executable
    for version in ("3.12", "3.13", "3.14"):
        if found := shutil.which(f"python{version}"):
            ask = [found, "-c", "import sys; print(sys.executable)"]
            environment = os.environ | {"PYENV_VERSION": version}
            answer = subprocess.run(ask, check=False, capture_output=True, text=True, env=environment)
            if answer.returncode == 0:
                return answer.stdout.strip()
    return ""
