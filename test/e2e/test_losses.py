"""What is lost when pods are deleted and killed: time, and no more.

Pods are deleted with `kubectl delete pod`. SIGKILL comes as ``kills`` says, each time to a fresh pod, since the
cluster lets one that was killed before wait for its restart. A disk that is slow in flushing, which no cluster offers
on request, is tried with the real server in test/integration/test_slow_disk.py.
"""

import time
from collections.abc import Callable
from functools import partial

import httpx
import pytest
from support.waiting import wait_until

from e2e.environment import Environment
from e2e.kills import Death, death_of, doom, is_mortal, is_restarted, kill_children, kill_first, moment
from e2e.kubectl import Kubectl
from e2e.one_job import OneJob
from e2e.pods import Pod
from e2e.rollouts import doors_of
from e2e.seen import Notes
from e2e.traffic.audit import audit
from e2e.traffic.doors import Door
from e2e.traffic.traffic import Traffic
from e2e.workload import ENDED

KILLED = 137
"""The exit code that SIGKILL leaves."""
RECOVERY_SECONDS = 10.0
REDIS_SECONDS = 15.0
JOB_SECONDS = 5
"""How long jobs last whose child or worker is killed: longer than it takes to do so."""
CHILDREN_KILLED = 10
WORKERS_KILLED = 3
REDIS_KILLED = 2
DOOMED_SECONDS = 300


@pytest.fixture(scope="module")
def environment(
    new_namespace: Callable[[str], Kubectl], new_environment: Callable[[Kubectl, str], Environment]
) -> Environment:
    """Production, with its two pods of API and workers each."""
    made = new_environment(new_namespace("losses"), "prod")
    made.start()
    return made


@pytest.fixture(scope="module")
def doors(environment: Environment) -> list[Door]:
    """The ways to it."""
    return doors_of(environment)


def test_deleting_pods_of_the_api_and_of_workers_fails_no_request_and_loses_no_job(
    environment: Environment, doors: list[Door], seen: Notes
) -> None:
    with Traffic(doors) as traffic:
        for component in ("flask", "worker"):
            for pod in environment.pods(component):
                with seen.timed(f"{component} pod deleted, and another Ready"):
                    _delete(environment, component, pod)
    assert traffic.ledger.failures == []
    assert traffic.ledger.refusals == []
    with doors[0].client() as http:
        assert audit(http, traffic.ledger) == []
    seen.add("requests meanwhile", f"{traffic.ledger.answered.total()} answered, 0 failed")


def test_deleting_redis_loses_nothing_that_was_acknowledged(
    environment: Environment, doors: list[Door], seen: Notes
) -> None:
    claim = _claim(environment)
    with Traffic(doors, watchers=0) as traffic:
        _wait_for_more(traffic)
        (pod,) = environment.pods("redis")
        with seen.timed("Redis pod deleted, and another Ready") as sight:
            _delete(environment, "redis", pod)
        _wait_for_more(traffic)
    assert traffic.ledger.failures == []
    with doors[0].client() as http:
        assert audit(http, traffic.ledger, after_losses=True) == []
    assert _claim(environment) == claim
    sight.seen = _told(traffic)


def test_redis_is_ready_again_soon_after_sigkill_and_nothing_that_was_acknowledged_is_lost(
    environment: Environment, doors: list[Door], seen: Notes
) -> None:
    claim = _claim(environment)
    for _ in range(REDIS_KILLED):
        with Traffic(doors, watchers=0) as traffic:
            (pod,) = environment.pods("redis")
            wait_until(partial(is_mortal, pod), 120, "Redis has worked for a second", every=0.5)
            death = kill_first(pod)
            ready = _ready_seconds(pod, death)
            _wait_for_more(traffic)
        assert death.exit_code == KILLED
        assert ready <= REDIS_SECONDS
        assert traffic.ledger.failures == []
        with doors[0].client() as http:
            assert audit(http, traffic.ledger, after_losses=True) == []
        assert _claim(environment) == claim
        seen.add("Redis killed, and Ready again", _told(traffic), ready)
        _delete(environment, "redis", pod)


def test_the_job_of_a_killed_child_runs_again_within_seconds(
    environment: Environment, doors: list[Door], seen: Notes
) -> None:
    recoveries = []
    with doors[0].client() as http:
        for _ in range(CHILDREN_KILLED):
            job = OneJob.begin(http, JOB_SECONDS)
            killed = kill_children(Pod(environment.kubectl, job.host()))
            recoveries.append(job.recovery_seconds(killed))
    assert max(recoveries) < RECOVERY_SECONDS
    seen.add(f"{CHILDREN_KILLED} children killed: the job runs again, at the latest after", "", max(recoveries))


def test_the_job_of_a_killed_worker_runs_again_within_seconds(
    environment: Environment, doors: list[Door], seen: Notes
) -> None:
    recoveries: list[float] = []
    with Traffic(doors, watchers=0) as traffic, doors[0].client() as http:
        while len(recoveries) < WORKERS_KILLED:
            worker = environment.pods("worker")[0]
            doom(worker)
            job = _last_job_of(worker, http)
            death = death_of(worker)
            assert death.exit_code == KILLED
            if job.end().get("attempts"):  # else it died between two jobs
                recoveries.append(job.recovery_seconds(death.at))
            _delete(environment, "worker", worker)
    assert traffic.ledger.failures == []
    assert max(recoveries) < RECOVERY_SECONDS
    seen.add(f"{WORKERS_KILLED} workers killed: the job runs again, at the latest after", "", max(recoveries))


def _last_job_of(worker: Pod, http: httpx.Client) -> OneJob:
    """Have a doomed worker always run a job until it dies; returns the last one."""
    deadline = time.monotonic() + DOOMED_SECONDS
    while time.monotonic() < deadline:
        job = OneJob.begin(http, JOB_SECONDS)
        is_its = job.host() == worker.name  # the host of its first attempt
        while is_its and job.status()["status"] not in ENDED:
            if is_restarted(worker):
                return job
            time.sleep(0.2)
    raise AssertionError(f"{worker.name} was not killed within {DOOMED_SECONDS} s")


def _delete(environment: Environment, component: str, pod: Pod) -> None:
    """Delete a pod, and wait until another has taken its place."""
    environment.kubectl("delete", f"pod/{pod.name}")
    environment.wait_rolled_out(component)


def _claim(environment: Environment) -> tuple[str, str]:
    """Redis's claim, and its volume."""
    found = environment.kubectl.get(f"persistentvolumeclaim/{environment.object('pvc-redis')}")
    return found["metadata"]["uid"], found["spec"]["volumeName"]


def _ready_seconds(pod: Pod, death: Death) -> float:
    """How long after its death a pod was Ready again."""

    def ready() -> float:
        conditions = {one["type"]: one for one in pod.document["status"]["conditions"]}
        since = moment(conditions["Ready"]["lastTransitionTime"])
        return since - death.at if conditions["Ready"]["status"] == "True" and since >= death.at else 0.0

    return wait_until(ready, 60, "Redis is Ready again", every=0.5)


def _wait_for_more(traffic: Traffic) -> None:
    """Wait until jobs are acknowledged again."""
    before = len(traffic.ledger.promises)
    wait_until(lambda: len(traffic.ledger.promises) >= before + 10, 60, "jobs are acknowledged again", every=0.2)


def _told(traffic: Traffic) -> str:
    ledger = traffic.ledger
    return (
        f"{len(ledger.promises)} jobs acknowledged, none lost; {len(ledger.refusals)} requests were told to come again"
    )
