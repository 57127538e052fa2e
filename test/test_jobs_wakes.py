"""Wake-ups of idle children: one token at most, and none that is lost stays lost."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from support import wait_until
from support.lab import OFFER, Lab

from gristmill.job import Attempt, Offer
from gristmill.settings import Settings

LIMITED = replace(OFFER, concurrent=1)


@pytest.fixture
def lab(server: str, make_settings: Callable[..., Settings]) -> Lab:
    return Lab(make_settings(server))


def tokens(lab: Lab, process: str = "echo") -> int:
    return int(lab.client.llen(f"{lab.prefix}:wake:{process}@face"))


def pop(lab: Lab) -> None:
    """What a child does that is killed right afterwards."""
    assert lab.client.lpop(f"{lab.prefix}:wake:echo@face") is not None


def test_a_thousand_submissions_put_one_token(lab: Lab) -> None:
    for number in range(1000):
        lab.submit(f"owner-{number % 3}")
    assert tokens(lab) == 1


def test_ten_waiting_children_take_ten_jobs_from_one_token(lab: Lab) -> None:
    worker = lab.worker()
    found: list[Attempt | None] = []

    def child(name: str) -> None:
        attempt = None
        for _ in range(20):
            attempt = attempt or lab.jobs.wait_and_claim(name, (OFFER,), 2)
        found.append(attempt)

    threads = [threading.Thread(target=child, args=(lab.child(worker),)) for _ in range(10)]
    for thread in threads:
        thread.start()
    wait_until(lambda: lab.client.info("clients")["blocked_clients"] >= 10, 20, "all wait")
    jobs = [lab.submit() for _ in range(10)]
    for thread in threads:
        thread.join(60)
    assert {attempt.job_id for attempt in found if attempt} == {job.id for job in jobs}


def test_the_token_of_a_killed_child_is_put_again_by_the_next_sweep(lab: Lab) -> None:
    worker = lab.worker()
    lab.submit()
    pop(lab)
    lab.submit()
    assert tokens(lab) == 0
    lab.swept_ago(lab.settings.beat_seconds)
    lab.beat(worker)
    assert tokens(lab) == 1


def test_a_claim_that_leaves_work_in_other_queues_puts_their_tokens(lab: Lab) -> None:
    other = Offer("other", "face", "v1")
    worker = lab.worker(OFFER, other)
    lab.submit("ann", "echo")
    lab.submit("bob", "other")
    for process in ("echo", "other"):
        lab.client.delete(f"{lab.prefix}:wake:{process}@face")
    lab.claim(worker, OFFER, other)
    assert (tokens(lab), tokens(lab, "other")) == (0, 1)


def test_a_job_that_comes_back_wakes_a_child(lab: Lab) -> None:
    worker = lab.worker()
    lab.submit()
    pop(lab)
    attempt = lab.claim(worker)
    lab.jobs.hand_back(attempt.token.partition(".")[2])
    assert tokens(lab) == 1


@pytest.mark.parametrize("end", ["finish", "dismiss"])
def test_a_place_that_becomes_free_under_a_limit_wakes_a_child(lab: Lab, end: str) -> None:
    worker = lab.worker(LIMITED)
    lab.submit()
    lab.submit()
    attempt = lab.claim(worker, LIMITED)
    pop(lab)
    assert lab.jobs.claim(lab.child(worker), (LIMITED,)) is None
    assert tokens(lab) == 0
    if end == "finish":
        lab.finish(attempt)
    else:
        lab.jobs.dismiss(attempt.job_id)
    assert tokens(lab) == 1


def test_resuming_wakes_a_child(lab: Lab) -> None:
    worker = lab.worker()
    lab.jobs.pause()
    job = lab.submit()
    pop(lab)
    assert lab.jobs.claim(lab.child(worker), (OFFER,)) is None
    lab.jobs.resume()
    assert tokens(lab) == 1
    attempt = lab.jobs.wait_and_claim(lab.child(worker), (OFFER,), 1)
    assert attempt is not None
    assert attempt.job_id == job.id
