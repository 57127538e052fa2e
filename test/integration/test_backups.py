"""A running system, backed up and restored into another one that runs: the same to every client."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support import wait_until
from support.client_view import seen, told
from support.system import RunningSystem

from gristmill.jobs import Jobs
from gristmill.settings import Settings
from gristmill.store import connect


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningSystem, RunningSystem]]:
    folder = tmp_path_factory.mktemp("systems")
    settings = {"DATASET_FREE_BYTES": "0"}
    with (
        RunningSystem(folder / "one", "redis", settings) as one,
        RunningSystem(folder / "other", "valkey", settings) as other,
    ):
        yield one, other


def piped(one: RunningSystem, other: RunningSystem, *options: str) -> str:
    """Back up one into the other, as one would in a shell; returns what is said."""
    command = [sys.executable, "-m", "gristmill"]
    sender = subprocess.Popen([*command, "backup", "-"], env=of(one), stdout=subprocess.PIPE)
    receiver = subprocess.run(
        [*command, "restore", "-", *options], env=of(other), stdin=sender.stdout, stderr=subprocess.PIPE, timeout=120,
        check=False,
    )  # fmt: skip
    assert sender.stdout is not None
    sender.stdout.close()
    assert sender.wait(60) == 0
    assert receiver.returncode == 0, receiver.stderr
    return receiver.stderr.decode()


def of(system: RunningSystem) -> dict[str, str]:
    return dict(os.environ) | {"REDIS_URL": system.server.url}


@pytest.mark.slow
def test_a_system_restored_into_another_is_the_same_to_every_client_and_goes_on(
    systems: tuple[RunningSystem, RunningSystem], tmp_path: Path
) -> None:
    one, other = systems
    here = httpx.Client(base_url=one.url, timeout=60)
    there = httpx.Client(base_url=other.url, timeout=60)
    penguins = Path(__file__).parents[2] / "src" / "gristmill" / "samples" / "penguins.csv"
    for content in (penguins.read_bytes(), b"species,body_mass_g\nAdelie,3750\n"):
        answer = here.put("/datasets/penguins?null=NA&null=", content=content, headers={"Content-Type": "text/csv"})
        assert answer.status_code == 201, answer.text
    patch = {"title": "Pinguine", "columns": {"body_mass_g": {"unit": "g"}}}
    here.patch("/datasets/penguins", json=patch, headers={"Content-Type": "application/merge-patch+json"})
    oldest = here.get("/datasets/penguins").json()["versions"][-1]["version"]
    table = {"dataset": "penguins", "version": oldest}
    for process, inputs in (
        ("summary", {"table": table}),
        ("histogram", {"table": table, "column": "body_mass_g"}),
        ("echo", {"string": "x" * 100_000}),
    ):
        answer = here.post(f"/processes/{process}/execution", json={"inputs": inputs, "response": "document"})
        assert answer.status_code == 200, answer.text
    one.parts[0].stop()  # the worker: what comes now waits
    waiting = here.post(
        "/processes/summary/execution", json={"inputs": {"table": table}}, headers={"Prefer": "respond-async"}
    ).json()["jobID"]
    key = {"Idempotency-Key": "the-same-key", "Prefer": "respond-async"}
    keyed = here.post("/processes/echo/execution", json={"inputs": {"string": "x"}}, headers=key).json()["jobID"]

    said = piped(one, other, "--replace")

    assert "1 data set" in said
    before, after = seen(here), seen(there)
    # What waited here may have run there meanwhile.
    assert {name: after.get(name) for name in before} == before
    assert after.keys() - before.keys() <= {waiting, keyed}
    again = there.post("/processes/echo/execution", json={"inputs": {"string": "x"}}, headers=key)
    assert again.json()["jobID"] == keyed
    for job in (waiting, keyed):
        wait_until(lambda job=job: told(there, f"/jobs/{job}")["status"] == "successful", 60, "it runs there")
    with connect(Settings(redis_url=other.server.url)) as client:
        jobs = Jobs(client, Settings(redis_url=other.server.url))
        assert [queue.process for queue in jobs.queues() if queue.ready] == []
        jobs.close()
    here.close()
    there.close()
