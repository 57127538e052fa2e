"""How attempts end: every row of the table of ends, its limits, and what a late word still does."""

from collections.abc import Callable
from dataclasses import replace

import msgpack
import pytest
from support.lab import DONE, OFFER, US, Lab, child_of

from gristmill.errors import LostAttemptError
from gristmill.job import End, Finish, Lost, Status
from gristmill.settings import Settings

FAILED = Finish(end=End.EXCEPTION, detail="no luck")
LATER = replace(FAILED, retry_after=1000)


@pytest.fixture
def lab(server: str, make_settings: Callable[..., Settings]) -> Lab:
    return Lab(make_settings(server))


def sweep(lab: Lab) -> None:
    lab.swept_ago(lab.settings.beat_seconds)
    lab.jobs.sweep()


@pytest.mark.parametrize("end", [End.EXCEPTION, End.TIMED_OUT, End.OUT_OF_MEMORY, End.OUT_OF_DISK, End.CRASHED])
@pytest.mark.parametrize("first", ["settle", "dismiss", "lose"])
def test_no_word_of_an_attempt_counts_after_another_has_ended_it(lab: Lab, end: End, first: str) -> None:
    worker = lab.worker()
    lab.submit()
    attempt = lab.claim(worker)
    match first:
        case "settle":
            lab.jobs.settle(child_of(attempt), Lost(end, "by its supervisor", b"log"))
        case "dismiss":
            lab.jobs.dismiss(attempt.job_id)
        case "lose":
            lab.lose(worker)
    before = lab.jobs.get(attempt.job_id)
    for how in (DONE, FAILED, LATER):
        for offers in ((), (OFFER,)):
            with pytest.raises(LostAttemptError):
                lab.finish(attempt, how, offers=offers)
    with pytest.raises(LostAttemptError):
        lab.jobs.progress(attempt.job_id, attempt.token, 99, "still here")
    lab.jobs.settle(child_of(attempt), Lost(End.TIMED_OUT, "late"))
    lab.jobs.hand_back(child_of(attempt))
    assert lab.jobs.get(attempt.job_id) == before
    lab.check()


def test_losses_crashes_and_hand_backs_are_counted_apart(lab: Lab) -> None:
    job = lab.submit()
    for _ in range(2):
        worker = lab.worker()
        lab.claim(worker)
        lab.lose(worker)
    worker = lab.worker()
    lab.jobs.settle(child_of(lab.claim(worker)), Lost(End.CRASHED, "signal 11"))
    for _ in range(4):
        lab.jobs.hand_back(child_of(lab.claim(worker)))
    lab.finish(lab.claim(worker), LATER)
    found = lab.status(job)
    assert (found.status, found.losses, found.crashes, found.hand_backs, found.retries, found.attempts) == (
        Status.ACCEPTED, 2, 1, 4, 1, 8,
    )  # fmt: skip
    lab.check()


def test_the_limit_of_hand_backs_is_a_setting(server: str, make_settings: Callable[..., Settings]) -> None:
    lab = Lab(make_settings(server, hand_backs=1))
    job = lab.submit()
    lab.jobs.hand_back(child_of(lab.claim(lab.worker())))
    assert lab.status(job).end is End.INTERRUPTED


def test_a_claim_whose_reply_was_lost_counts_as_handed_back(
    server: str, make_settings: Callable[..., Settings]
) -> None:
    lab = Lab(make_settings(server, hand_backs=2))
    worker = lab.worker()
    job = lab.submit()
    for status in (Status.ACCEPTED, Status.FAILED):
        lab.claim(worker)
        for _ in range(2):
            lab.beat(worker)
        assert lab.status(job).status is status
    assert (lab.status(job).end, lab.status(job).losses) == (End.INTERRUPTED, 0)
    lab.check()


def test_a_retry_that_is_told_twice_is_one_retry_and_one_entry(lab: Lab) -> None:
    worker = lab.worker()
    job = lab.submit()
    attempt = lab.claim(worker)
    for _ in range(3):
        assert lab.finish(attempt, LATER) is None
    assert lab.status(job).retries == 1
    assert lab.jobs.attempt_counts()["echo", "process-failed", "0.01"] == 1
    lab.check()
    lab.jobs.dismiss(job.id)
    lab.check()
    lab.jobs.delete(job.id)
    assert lab.client.exists(f"{lab.prefix}:delayed") == 0


def test_a_retry_waits_its_time_and_ahead_of_nobody(lab: Lab) -> None:
    worker = lab.worker()
    job = lab.submit("ann")
    lab.finish(lab.claim(worker), LATER)
    waiting = lab.status(job).waiting
    assert waiting is not None
    now = lab.client.time()[0] * US
    assert waiting.reason == "retry"
    assert 990 * US < waiting.not_before - now < 1001 * US
    others = [lab.submit(owner) for owner in ("bob", "cy")]
    lab.client.zadd(f"{lab.prefix}:delayed", {job.id: 1})
    sweep(lab)
    assert {lab.claim(worker).job_id for _ in range(3)} == {job.id, *(other.id for other in others)}


def test_only_what_has_waited_for_a_worker_so_long_fails_whatever_its_urgency(
    server: str, make_settings: Callable[..., Settings]
) -> None:
    lab = Lab(make_settings(server, no_worker_seconds=60))
    worker = lab.worker()
    for urgency in range(4):
        lab.submit("bob", priority=urgency)
    handed = [lab.claim(worker) for _ in range(4)]
    for attempt in handed:
        lab.jobs.hand_back(child_of(attempt))
    lab.jobs.leave(worker)
    young = [lab.submit(owner, priority=urgency) for owner in ("ann", "bob") for urgency in range(4)]
    queue = next(name for name in lab.stored() if name.startswith(":t:"))[3:]
    now = lab.client.time()[0] * US
    old = [lab.submit("ann", priority=urgency) for urgency in range(4)]
    for urgency, job in enumerate(old):
        age_job(lab, job.id, f"{lab.prefix}:q:{queue}|ann", now - 61 * US, urgency)
    lab.client.hset(f"{lab.prefix}:nowork", queue, now - 59 * US)
    sweep(lab)
    assert {lab.status(job).status for job in (*old, *young)} == {Status.ACCEPTED}
    lab.client.hset(f"{lab.prefix}:nowork", queue, now - 61 * US)
    sweep(lab)
    assert [lab.status(job).end for job in old] == [End.NO_WORKER] * 4
    assert {lab.status(job).status for job in young} == {Status.ACCEPTED}
    lab.check()
    lab.worker()
    sweep(lab)
    assert lab.client.hgetall(f"{lab.prefix}:nowork") == {}


def age_job(lab: Lab, job_id: str, queue: str, created: int, urgency: int) -> None:
    """As if the job had been submitted at ``created``."""
    key = f"{lab.prefix}:j:{job_id}"
    record = msgpack.unpackb(lab.client.get(key), raw=True)
    record[b"c"] = created
    lab.client.set(key, msgpack.packb(record, use_bin_type=False))
    lab.client.zadd(queue, {job_id: created - (3 - urgency) * 10**15}, xx=True)


def test_a_clock_that_was_set_back_stops_no_sweep_and_takes_no_job(lab: Lab) -> None:
    worker = lab.worker()
    lab.submit()
    attempt = lab.claim(worker)
    retried = lab.submit()
    lab.finish(lab.claim(worker), LATER)
    lab.client.zadd(f"{lab.prefix}:delayed", {retried.id: 1})
    lab.end_lease(worker)
    lab.swept_ago(-3600)
    lab.jobs.sweep()
    assert lab.status(attempt).status is Status.RUNNING
    assert lab.client.exists(f"{lab.prefix}:delayed") == 0
    lab.lose(worker)
    assert lab.status(attempt).status is Status.ACCEPTED


def test_a_sweep_soon_after_another_does_nothing(lab: Lab) -> None:
    worker = lab.worker()
    lab.submit()
    attempt = lab.claim(worker)
    lab.client.zadd(f"{lab.prefix}:workers", {worker: 1})
    lab.swept_ago(0)
    lab.jobs.sweep()
    assert lab.status(attempt).status is Status.RUNNING


def test_a_job_that_has_run_does_not_expire_in_the_queue(lab: Lab) -> None:
    job = lab.submit(queue_seconds=60)
    lab.jobs.hand_back(child_of(lab.claim(lab.worker())))
    lab.client.zadd(f"{lab.prefix}:due", {job.id: 1})
    sweep(lab)
    assert lab.status(job).status is Status.ACCEPTED
    lab.check()


def test_a_joined_job_expires_in_the_queue_too(lab: Lab) -> None:
    first = lab.submit(equal_work="same")
    joined = lab.submit(equal_work="same", queue_seconds=60)
    lab.client.zadd(f"{lab.prefix}:due", {joined.id: 1})
    sweep(lab)
    assert lab.status(joined).end is End.EXPIRED_IN_QUEUE
    assert lab.status(first).status is Status.ACCEPTED
    lab.check()


def test_a_child_settled_after_its_worker_was_forgotten_leaves_nothing_for_ever(lab: Lab) -> None:
    worker = lab.worker()
    lab.jobs.leave(worker)
    lab.jobs.settle(f"{worker}.1", Lost(End.CRASHED, "it died"))
    lab.check()
    lab.beat(worker)
    assert lab.client.ttl(f"{lab.prefix}:h:{worker}") == -1
    with pytest.raises(LostAttemptError):
        lab.jobs.claim(f"{worker}.1", (OFFER,))


def test_a_log_keeps_its_end_and_goes_with_the_job(lab: Lab) -> None:
    lab.submit()
    attempt = lab.claim(lab.worker())
    lab.finish(attempt, replace(FAILED, log=b"start" + b"x" * 100_000 + b"end"))
    log = lab.jobs.log(lab.status(attempt))
    assert len(log) == 65_536
    assert log.endswith(b"xend")
    lab.jobs.delete(attempt.job_id)
    assert not [name for name in lab.stored() if name.startswith(":l:")]
