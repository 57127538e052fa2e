"""A job that takes all memory or disk that it can get ends alone: its pod lives, and so does the job beside it.

The processes come to the pods by a ConfigMap; they have the limits that every process has.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.environment import Environment
from e2e.kubectl import Kubectl
from e2e.one_job import OneJob
from e2e.rollouts import UPDATED, containers, doors_of
from e2e.seen import Notes

HUNGRY = Path(__file__).parent / "processes" / "hungry.py"
NEIGHBOUR_SECONDS = 20


@pytest.fixture(scope="module")
def environment(
    new_namespace: Callable[[str], Kubectl], new_environment: Callable[[Kubectl, str], Environment]
) -> Environment:
    """Production with one worker of two children, which offers these processes instead of the team's own."""
    made = new_environment(new_namespace("hungry"), "prod")
    made.apply()
    made.kubectl("create", "configmap", "hungry", f"--from-file={HUNGRY}")
    for component in UPDATED:
        made.kubectl("patch", made.deployment(component), f"--patch={json.dumps(_with_processes(component))}")
    made.kubectl("scale", made.deployment("worker"), "--replicas=1")
    made.wait_rolled_out()
    return made


@pytest.mark.parametrize(("process", "end"), [("eat_memory", "out-of-memory"), ("fill_disk", "out-of-disk")])
def test_a_job_without_measure_ends_and_its_pod_and_the_job_beside_it_go_on(
    environment: Environment, seen: Notes, process: str, end: str
) -> None:
    before = containers(environment, "worker")
    door, *_ = doors_of(environment)
    with door.client() as http:
        neighbour = OneJob.begin(http, NEIGHBOUR_SECONDS)
        with seen.timed(f"{process} ended: {end}") as sight:
            ended = OneJob.submit(http, process).end(120)
        assert (ended["status"], ended["problem"]["type"]) == ("failed", f"urn:gristmill:problem:{end}")
        beside = neighbour.end()
    assert beside["status"] == "successful"
    assert "attempts" not in beside
    assert containers(environment, "worker") == before
    sight.seen = "the pod and the job beside it went on"


def _with_processes(component: str) -> dict[str, object]:
    """What makes a Deployment's pods read the processes of the ConfigMap."""
    container = {
        "name": component,
        "env": [{"name": "GRISTMILL_PROCESSES", "value": "/processes"}],
        "volumeMounts": [{"name": "processes", "mountPath": "/processes", "readOnly": True}],
    }
    volume = {"name": "processes", "configMap": {"name": "hungry"}}
    return {"spec": {"template": {"spec": {"containers": [container], "volumes": [volume]}}}}
