"""Releases side by side: who may take which job, by interface and release."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from support.lab import OFFER, Lab

from gristmill.job import End, Finish, Status
from gristmill.settings import Settings

CHANGED = replace(OFFER, interface="changed")


@pytest.fixture
def lab(server: str, make_settings: Callable[..., Settings]) -> Callable[[str], Lab]:
    """Return a function that makes the engine of a release."""
    made = make_settings(server)
    return lambda release: Lab(made, release)


@pytest.mark.parametrize(
    ("accepted_by", "worker_of", "takes"),
    [
        ("1.0.0", "1.0.1", True),
        ("1.9.0", "1.10.0", True),
        ("9.0.0", "10.0.0", True),
        ("1.0.0-rc.1", "1.0.0", True),
        ("1.0.0-rc.2", "1.0.0-rc.10", True),
        ("1.0.0", "1.0.0", False),
        ("1.0.0", "1.0.0+build.2", False),
        ("1.0.0", "1.0.0-rc.1", False),
        ("1.10.0", "1.9.0", False),
        ("1.0.1", "1.0.0", False),
    ],
)
def test_a_changed_interface_is_taken_by_a_later_release_only(
    lab: Callable[[str], Lab], accepted_by: str, worker_of: str, takes: bool
) -> None:
    job = lab(accepted_by).submit()
    theirs = lab(worker_of)
    worker = theirs.worker(CHANGED)
    assert (theirs.jobs.claim(theirs.child(worker), (CHANGED,)) is not None) is takes
    assert (theirs.status(job).status is Status.RUNNING) is takes
    theirs.check()


@pytest.mark.parametrize("worker_of", ["0.1.0", "1.0.0", "2.0.0", "1.0.0-rc.1"])
def test_any_release_takes_the_same_interface(lab: Callable[[str], Lab], worker_of: str) -> None:
    job = lab("1.0.0").submit()
    theirs = lab(worker_of)
    attempt = theirs.claim(theirs.worker())
    assert (attempt.job_id, attempt.release) == (job.id, "1.0.0")
    theirs.finish(attempt)
    found = theirs.status(job)
    assert (found.release, found.run_release) == ("1.0.0", worker_of)


def test_a_job_that_only_an_older_worker_is_there_for_says_so(lab: Callable[[str], Lab]) -> None:
    older, newer = lab("1.0.0"), lab("1.1.0")
    older.worker()
    job = newer.jobs.submit(replace(newer.new(), interface="changed")).job
    waiting = newer.status(job).waiting
    assert waiting is not None
    assert waiting.reason == "no-worker"
    newer.worker(CHANGED)
    waiting = older.status(job).waiting
    assert waiting is not None
    assert waiting.reason == "next"


def test_inputs_that_the_later_release_refuses_end_the_job_as_changed(lab: Callable[[str], Lab]) -> None:
    job = lab("1.0.0").submit()
    later = lab("1.1.0")
    attempt = later.claim(later.worker(CHANGED), CHANGED)
    assert attempt.interface == "face"
    later.finish(attempt, Finish(end=End.PROCESS_CHANGED, detail="bins: is missing"))
    assert later.status(job).end is End.PROCESS_CHANGED


def test_a_job_comes_back_from_a_newer_worker_to_the_queue_of_its_own_release(lab: Callable[[str], Lab]) -> None:
    older, newer = lab("1.0.0"), lab("1.1.0")
    job = older.submit()
    worker = newer.worker(CHANGED)
    newer.claim(worker, CHANGED)
    newer.jobs.leave(worker)
    older.check()
    assert older.claim(older.worker()).job_id == job.id
