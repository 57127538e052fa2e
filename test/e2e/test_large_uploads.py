"""Uploads that are together larger than what a pod of the API has room for: some are taken, the rest wait."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from e2e.environment import Environment
from e2e.kubectl import Kubectl
from e2e.rollouts import containers, doors_of
from e2e.seen import Notes
from e2e.traffic.doors import Door

AT_ONCE = 5
MEGABYTES = 200
FIT_TOGETHER = 2  # in the 512 MiB of GRISTMILL_DATASET_UPLOADS_BYTES
_LINES = b"".join(b"%d,north,12.5\n" % (number % 1000) for number in range(2**16))


@pytest.fixture(scope="module")
def environment(
    new_namespace: Callable[[str], Kubectl], new_environment: Callable[[Kubectl, str], Environment]
) -> Environment:
    """The test environment, whose API is one pod."""
    made = new_environment(new_namespace("uploads"), "test")
    made.start()
    return made


def test_of_uploads_that_do_not_fit_together_as_many_arrive_as_do_and_the_pod_lives(
    environment: Environment, seen: Notes
) -> None:
    before = containers(environment, "flask")
    door, *_ = doors_of(environment)
    with ThreadPoolExecutor(AT_ONCE) as pool, seen.timed(f"{AT_ONCE} uploads of {MEGABYTES} MB at once") as sight:
        answers = list(pool.map(lambda number: _upload(door, number), range(AT_ONCE)))
    taken = [one for one in answers if one.status_code == 201]
    refused = [one for one in answers if one.status_code == 503]
    assert len(taken) + len(refused) == AT_ONCE, [one.text for one in answers]
    assert len(taken) >= FIT_TOGETHER
    assert all("Retry-After" in one.headers for one in refused)
    assert containers(environment, "flask") == before
    sight.seen = f"{len(taken)} taken, {len(refused)} told to come again; the pod lived"


def _upload(door: Door, number: int) -> httpx.Response:
    with door.client(seconds=300) as http:
        return http.put(f"/datasets/large-{number}", content=_body(number), headers={"Content-Type": "text/csv"})


def _body(number: int) -> Iterator[bytes]:
    yield f"number,region,value\n{number},large-{number},0\n".encode()
    for _ in range(MEGABYTES * 10**6 // len(_LINES)):
        yield _LINES
