"""Who reaches whom in a cluster that enforces network policies; and that each probe would notice if it were not so."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.waiting import wait_until

from e2e.environment import Environment
from e2e.images import Images
from e2e.kubectl import Kubectl
from e2e.pods import Pod, service, stranger
from e2e.seen import Notes

Place = tuple[str, int]
REDIS = 6379


@pytest.fixture(scope="module")
def environment(
    new_namespace: Callable[[str], Kubectl], new_environment: Callable[[Kubectl, str], Environment]
) -> Environment:
    made = new_environment(new_namespace("policies"), "test")
    made.start()
    return made


@pytest.fixture(scope="module")
def worker(environment: Environment) -> Pod:
    (only,) = environment.pods("worker")
    return only


@pytest.fixture(scope="module")
def debug(environment: Environment) -> Iterator[Pod]:
    """A pod of the environment that no policy limits: what it reaches is there."""
    with environment.debug_pod() as pod:
        yield pod


@pytest.fixture(scope="module")
def neighbour(environment: Environment, images: Images) -> Iterator[Pod]:
    """A stranger's pod in the same namespace."""
    with stranger(environment.kubectl, f"{images.repository}:{images.first}") as pod:
        yield pod


@pytest.fixture(scope="module")
def elsewhere(new_namespace: Callable[[str], Kubectl], images: Images) -> Iterator[Pod]:
    """A stranger's pod, with a Service, in another namespace."""
    kubectl = new_namespace("elsewhere")
    kubectl.apply(service("web"))
    with stranger(kubectl, f"{images.repository}:{images.first}", "web") as pod:
        yield pod


@pytest.fixture(scope="module")
def places(environment: Environment, neighbour: Pod, elsewhere: Pod) -> dict[str, Place]:
    """What is in the cluster and is nothing to a worker."""
    (flask,) = environment.pods("flask")
    node = flask.document["status"]["hostIP"]
    port = int(environment.nodeport_url.rpartition(":")[2])
    return {
        "the API's Service": (environment.object("service-flask"), 80),
        "the API's pod": (flask.address, 8000),
        "a neighbour's pod": (neighbour.address, 8000),
        "a Service of another namespace": (f"web.{elsewhere.kubectl.namespace}", 80),
        "a port of the node": (node, port),
        "the Kubernetes API": ("kubernetes.default", 443),
    }


def test_a_worker_reaches_the_name_server_and_redis(environment: Environment, worker: Pod, seen: Notes) -> None:
    assert worker.reaches(environment.object("service-redis"), REDIS)
    seen.add("a worker reaches Redis, by its name")


@pytest.mark.parametrize(
    "what",
    [
        "the API's Service",
        "the API's pod",
        "a neighbour's pod",
        "a Service of another namespace",
        "a port of the node",
        "the Kubernetes API",
    ],
)
def test_a_worker_does_not_reach_what_it_need_not(
    worker: Pod, debug: Pod, places: dict[str, Place], what: str, seen: Notes
) -> None:
    wait_until(lambda: debug.reaches(*places[what]), 30, f"{what} is there", every=1)
    assert not worker.reaches(*places[what])
    seen.add(f"a worker does not reach {what}", "the debug pod does")


def test_a_stranger_reaches_the_api_and_not_redis(environment: Environment, neighbour: Pod, seen: Notes) -> None:
    (redis,) = environment.pods("redis")
    assert neighbour.reaches(environment.object("service-flask"), 80)
    assert not neighbour.reaches(environment.object("service-redis"), REDIS)
    assert not neighbour.reaches(redis.address, REDIS)
    seen.add("a stranger's pod of the same namespace does not reach Redis", "it reaches the API")


def test_a_stranger_of_another_namespace_does_not_reach_redis_with_the_labels_of_a_worker(
    environment: Environment, worker: Pod, elsewhere: Pod, seen: Notes
) -> None:
    labels = [f"{key}={value}" for key, value in worker.document["metadata"]["labels"].items() if "/" in key]
    elsewhere.kubectl("label", f"pod/{elsewhere.name}", *labels)
    (redis,) = environment.pods("redis")
    assert elsewhere.reaches(f"{environment.object('service-flask')}.{environment.kubectl.namespace}", 80)
    assert not elsewhere.reaches(redis.address, REDIS)
    seen.add("a pod of another namespace does not reach Redis, whatever its labels", "it reaches the API")


def test_redis_calls_nobody(environment: Environment, debug: Pod, places: dict[str, Place], seen: Notes) -> None:
    (redis,) = environment.pods("redis")
    assert redis.reaches("127.0.0.1", REDIS)
    for what in ("the API's pod", "a neighbour's pod"):
        assert debug.reaches(*places[what])
        assert not redis.reaches(*places[what]), what
    seen.add("Redis reaches nobody", "the debug pod does")


def test_nobody_calls_a_worker(worker: Pod, debug: Pod, neighbour: Pod, seen: Notes) -> None:
    with listening(worker, 8000):
        wait_until(lambda: worker.reaches("127.0.0.1", 8000), 30, "the worker listens", every=0.5)
        assert not debug.reaches(worker.address, 8000)
        assert not neighbour.reaches(worker.address, 8000)
    assert debug.reaches(neighbour.address, 8000)
    seen.add("nobody reaches a port of a worker", "a server was started in it to try")


@pytest.mark.parametrize("component", ["worker", "redis"])
def test_it_is_the_policy_that_refuses(
    environment: Environment, worker: Pod, neighbour: Pod, component: str, seen: Notes
) -> None:
    place = {"worker": (environment.object("service-flask"), 80), "redis": (environment.object("service-redis"), REDIS)}
    asking = {"worker": worker, "redis": neighbour}[component]
    assert not asking.reaches(*place[component])
    environment.kubectl("delete", "networkpolicy", environment.object(f"networkpolicy-{component}"))
    try:
        wait_until(
            lambda: asking.reaches(*place[component]), 30, f"{asking.name} reaches it without the policy", every=1
        )
    finally:
        environment.apply()
    with seen.timed(f"the policy of {component} taken away, all is reached; applied again, until it refuses"):
        wait_until(lambda: not asking.reaches(*place[component]), 30, "the policy refuses again", every=1)


@contextmanager
def listening(pod: Pod, port: int) -> Iterator[None]:
    """A server of pages inside a pod, for as long as its command is attached to; a minute at most."""
    server = ("timeout", "60", "python", "-m", "http.server", str(port), "--directory", "/opt")
    with subprocess.Popen(pod.command(*server), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as attached:
        try:
            yield
        finally:
            attached.terminate()
