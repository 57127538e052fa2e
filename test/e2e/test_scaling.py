"""More workers do more at a time, fewer lose nothing; by hand, and by the HorizontalPodAutoscaler of docs/deploy.md."""

import re
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from support import deploy_docs
from support.waiting import wait_until

from e2e.environment import Environment
from e2e.kubectl import Kubectl
from e2e.seen import Notes
from e2e.workload import Sleepers, drain_rate, submit
from gristmill.samples import penguins

MOST = 4
# Some seconds of one CPU: 800 million rows, of 344 birds with each other.
BUSY = """\
SELECT sum(sqrt(a.body_mass_g * b.body_mass_g + c.body_mass_g * {number} + d.body_mass_g)) AS s
FROM t a, t b, t c, (FROM t LIMIT 20) d"""


@pytest.fixture(scope="module")
def environment(
    new_namespace: Callable[[str], Kubectl], new_environment: Callable[[Kubectl, str], Environment]
) -> Environment:
    made = new_environment(new_namespace("scaling"), "test")
    made.start()
    return made


@pytest.fixture(scope="module")
def client(environment: Environment) -> Iterator[httpx.Client]:
    with environment.client() as made:
        yield made


def scale(environment: Environment, workers: int) -> None:
    environment.kubectl("scale", environment.deployment("worker"), f"--replicas={workers}")
    environment.wait_rolled_out("worker")


def replicas(environment: Environment) -> int:
    """How many workers there are to be."""
    return int(environment.kubectl.get(environment.deployment("worker"))["spec"]["replicas"])


def test_four_workers_drain_four_times_as_fast_as_one(
    environment: Environment, client: httpx.Client, seen: Notes
) -> None:
    rates = {}
    for workers, jobs in ((1, 20), (MOST, 80)):
        scale(environment, workers)
        with seen.timed(f"{jobs} jobs of 1 s, workers of one child: {workers}") as sight:
            rates[workers] = drain_rate(Sleepers.submitted(client, jobs, seconds=1).ended(120))
        sight.seen = f"{rates[workers]:.2f} jobs/s"
    factor = rates[MOST] / rates[1]
    seen.add("drain rate of 4 workers to that of 1", f"{factor:.2f} x")
    assert 3.4 < factor < 4.6


def test_scaling_down_loses_no_job(environment: Environment, client: httpx.Client, seen: Notes) -> None:
    scale(environment, MOST)
    jobs = Sleepers.submitted(client, 24, seconds=4)
    wait_until(lambda: jobs.running() == MOST, 30, "all workers are at work", every=0.2)
    with seen.timed("4 workers scaled to 1 while all are at work") as sight:
        scale(environment, 1)
        ended = jobs.ended(180)
    assert [job["status"] for job in ended] == ["successful"] * 24
    assert jobs.results() == [str(number) for number in range(24)]
    sight.seen = "24 of 24 jobs successful"


def test_the_autoscaler_of_the_docs_adds_workers_while_they_are_busy(
    environment: Environment, client: httpx.Client, seen: Notes
) -> None:
    wait_until(lambda: top(environment), 120, "the cluster measures pods (kubectl top pods)", every=2)
    scale(environment, 1)
    give_the_number_away(environment)
    environment.kubectl("apply", "--filename=-", stdin=deploy_docs.shown("HorizontalPodAutoscaler"))
    environment.kubectl("rollout", "restart", environment.deployment("worker"))
    environment.wait_rolled_out("worker")
    assert most_replicas(environment, seconds=60) == 1, "workers that only start are no reason for more"
    answer = client.put("/datasets/birds?null=NA&null=", content=penguins(), headers={"Content-Type": "text/csv"})
    assert answer.status_code in {200, 201}, answer.text
    jobs = [busy(client, number) for number in range(100)]
    with seen.timed(f"the autoscaler of the docs, 1 to {MOST} workers") as sight:
        wait_until(lambda: replicas(environment) == MOST, 240, "the autoscaler wants four workers", every=1)
        environment.wait_rolled_out("worker")
        found = re.search(r"cpu: \S+", environment.kubectl("get", "hpa", "--no-headers").stdout)
        sight.seen = found[0] if found else ""

    environment.apply()
    assert replicas(environment) == MOST
    seen.add("apply leaves the number of workers to the autoscaler")
    for job in jobs:
        client.delete(f"/jobs/{job}")
    environment.kubectl("delete", "hpa", "--all")


def most_replicas(environment: Environment, seconds: float) -> int:
    """The largest number of workers that is wanted within some seconds."""
    most, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        most = max(most, replicas(environment))
        time.sleep(1)
    return most


def top(environment: Environment) -> bool:
    """Whether the cluster measures these pods."""
    return environment.kubectl("top", "pods", check=False).returncode == 0


def give_the_number_away(environment: Environment) -> None:
    """Take ``replicas:`` out of the worker's file, and tell the cluster that it never stood there, as the docs say."""
    path = environment.files.of(environment.name) / f"{environment.object('deployment-worker')}.yml"
    text, lines = re.subn(r"^  replicas: .*\n", "", path.read_text("utf-8"), flags=re.MULTILINE)
    assert lines == 1
    path.write_text(text, "utf-8")
    environment.kubectl("apply", "set-last-applied", f"--filename={path}")


def busy(client: httpx.Client, number: int) -> str:
    """A job that keeps a CPU busy, unlike any other; its id."""
    return submit(client, "sql", {"query": BUSY.format(number=number), "tables": {"t": {"dataset": "birds"}}})
