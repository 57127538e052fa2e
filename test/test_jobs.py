"""The engine's contract, on real Redis and on the embedded Valkey: what it keeps of each promise."""

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError
from support.lab import DONE, OFFER, US, Lab

from gristmill.errors import (
    ConflictError,
    IdempotencyMismatchError,
    InvalidRequestError,
    LostAttemptError,
    NoSuchJobError,
    StorageFullError,
    TooManyJobsError,
)
from gristmill.job import (
    Attempt,
    End,
    Finish,
    Idempotency,
    JobFilter,
    Lost,
    NewJob,
    Offer,
    Output,
    Status,
    new_id,
)
from gristmill.jobs import new_worker_id
from gristmill.settings import Settings


@pytest.fixture
def lab(server: str, make_settings: Callable[..., Settings]) -> Iterator[Lab]:
    made = Lab(make_settings(server))
    yield made
    made.jobs.close()


# 1. Atomic submit


def test_a_submitted_job_is_recorded_indexed_and_queued(lab: Lab) -> None:
    job = lab.submit()
    assert lab.status(job).waiting is not None
    assert {":j:" + job.id, ":all", ":o:ann", ":p:echo", ":owners", ":c"} <= lab.stored()
    assert lab.claim(lab.worker()).job_id == job.id


def test_the_same_submission_sent_twice_makes_one_job(lab: Lab) -> None:
    new = lab.new()
    first, second = lab.jobs.submit(new), lab.jobs.submit(new)
    assert first.job.created == second.job.created
    assert len(lab.jobs.list(JobFilter()).jobs) == 1
    worker = lab.worker()
    lab.claim(worker)
    assert lab.jobs.claim(lab.child(worker), (OFFER,)) is None


def test_a_submission_is_told_the_same_as_a_reader(lab: Lab) -> None:
    job = lab.submit(request='{"response":"document"}', priority=1)
    assert lab.jobs.get(job.id) == job


# 2. At least one run, one result


def test_a_result_is_stored_with_where_it_came_from(lab: Lab) -> None:
    worker = lab.worker()
    job = lab.submit()
    lab.finish(lab.claim(worker))
    found = lab.status(job)
    assert (found.status, found.progress, found.attempts, found.worker) == (Status.SUCCESSFUL, 100, 1, worker)
    assert (found.release, found.run_release, found.process_version, found.run_process_version) == (
        "1.0.0",
        "1.0.0",
        "v1",
        "v1",
    )
    assert found.outputs == DONE.outputs
    assert found.started is not None
    assert found.finished is not None
    assert found.created <= found.started <= found.finished == found.updated


def test_a_claim_repeated_by_the_same_child_returns_the_same_attempt(lab: Lab) -> None:
    lab.submit()
    lab.submit()
    child = lab.child(lab.worker())
    assert lab.jobs.claim(child, (OFFER,)) == lab.jobs.claim(child, (OFFER,))


def test_a_job_that_was_deleted_after_it_was_claimed_and_before_its_inputs_are_read_is_not_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = replace(lab.new(), inputs=b'"' + b"x" * 5000 + b'"')
    lab.jobs.submit(new)
    child, read = lab.child(lab.worker()), lab.jobs.output_chunks

    def read_too_late(inputs: Output) -> Iterator[bytes]:
        lab.jobs.dismiss(new.id)
        lab.jobs.delete(new.id)
        return read(inputs)

    monkeypatch.setattr(lab.jobs, "output_chunks", read_too_late)
    assert lab.jobs.claim(child, (OFFER,)) is None

    another = lab.submit()
    attempt = lab.jobs.claim(child, (OFFER,))
    assert attempt is not None
    assert attempt.job_id == another.id
    lab.check()


def test_a_repeated_finish_answers_as_the_first_time_and_with_the_same_next_job(lab: Lab) -> None:
    lab.submit()
    lab.submit()
    lab.submit()
    attempt = lab.claim(lab.worker())
    first = lab.finish(attempt, offers=(OFFER,))
    again = lab.finish(attempt, offers=(OFFER,))
    assert first is not None
    assert first == again
    assert lab.jobs.attempt_counts()["echo", "successful", "0.01"] == 1


def test_a_lost_workers_job_runs_again_and_the_late_result_is_refused(lab: Lab) -> None:
    lost = lab.worker()
    late = lab.claim(lost) if lab.submit() else None
    assert late is not None
    lab.lose(lost)
    again = lab.claim(lab.worker())
    assert again.job_id == late.job_id
    assert again.token != late.token
    with pytest.raises(LostAttemptError):
        lab.finish(late, Finish((Output("result", "application/json", b"2", "", 1),)))
    with pytest.raises(LostAttemptError):
        lab.jobs.progress(late.job_id, late.token, 50, "")
    lab.finish(again)
    assert lab.jobs.get(again.job_id).outputs == DONE.outputs
    with pytest.raises(LostAttemptError):
        lab.finish(late)


def test_a_lost_workers_job_goes_to_the_head_of_the_queue(lab: Lab) -> None:
    lost = lab.worker()
    job = lab.submit("zoe")
    lab.claim(lost)
    for owner in ("ann", "bob", "zoe"):
        lab.submit(owner)
    lab.lose(lost)
    assert lab.claim(lab.worker()).job_id == job.id


def test_a_worker_that_reaches_redis_keeps_its_job_however_long(lab: Lab) -> None:
    worker = lab.worker()
    lab.submit()
    attempt = lab.claim(worker)
    for _ in range(5):
        lab.swept_ago(lab.settings.beat_seconds)
        assert lab.beat(worker, held={attempt.token.partition(".")[2]: attempt.token}) == frozenset()
    lab.finish(attempt)
    assert lab.jobs.get(attempt.job_id).losses == 0


def test_a_sweep_after_everybody_was_away_renews_the_leases_first(lab: Lab) -> None:
    worker = lab.worker()
    lab.submit()
    attempt = lab.claim(worker)
    lab.end_lease(worker)
    lab.swept_ago(60)
    lab.jobs.sweep()
    assert lab.status(attempt).status is Status.RUNNING
    assert [one.id for one in lab.jobs.workers()] == [worker]


def test_a_claim_whose_reply_was_lost_is_accepted_again_after_two_heartbeats(lab: Lab) -> None:
    worker = lab.worker()
    lab.submit()
    attempt = lab.claim(worker)
    lab.beat(worker)
    assert lab.status(attempt).status is Status.RUNNING
    lab.beat(worker)
    assert lab.status(attempt).status is Status.ACCEPTED
    with pytest.raises(LostAttemptError):
        lab.finish(attempt)


def test_a_heartbeat_that_lists_the_claim_again_in_time_keeps_it(lab: Lab) -> None:
    worker = lab.worker()
    lab.submit()
    attempt = lab.claim(worker)
    held = {attempt.token.partition(".")[2]: attempt.token}
    lab.beat(worker)
    lab.beat(worker, held=held)
    lab.beat(worker)
    assert lab.status(attempt).status is Status.RUNNING


def test_a_heartbeat_names_the_tokens_that_are_dead(lab: Lab) -> None:
    worker = lab.worker()
    lab.submit()
    lab.submit()
    kept, dismissed = lab.claim(worker), lab.claim(worker)
    lab.jobs.dismiss(dismissed.job_id)
    held = {attempt.token.partition(".")[2]: attempt.token for attempt in (kept, dismissed)}
    assert lab.beat(worker, held=held) == {dismissed.token}


def test_a_settled_childs_name_never_claims_again(lab: Lab) -> None:
    worker = lab.worker()
    child = lab.child(worker)
    lab.jobs.settle(child, Lost(End.CRASHED, "it died"))
    lab.submit()
    with pytest.raises(LostAttemptError):
        lab.jobs.claim(child, (OFFER,))


def test_a_worker_without_a_heartbeat_claims_nothing(lab: Lab) -> None:
    lab.submit()
    assert lab.jobs.claim(f"{new_worker_id()}.1", (OFFER,)) is None


# 3. The table of ends


@pytest.mark.parametrize("end", [End.TIMED_OUT, End.OUT_OF_MEMORY, End.OUT_OF_DISK])
def test_a_limit_fails_the_job_at_once_with_its_own_type(lab: Lab, end: End) -> None:
    worker = lab.worker()
    lab.submit()
    attempt = lab.claim(worker)
    child = attempt.token.partition(".")[2]
    assert lab.jobs.settle(child, Lost(end, "too much", b"last words")) == attempt.job_id
    assert lab.jobs.settle(child, Lost(end, "too much")) == ""
    job = lab.status(attempt)
    assert (job.status, job.end, job.detail) == (Status.FAILED, end, "too much")
    assert lab.jobs.log(job) == b"last words"
    with pytest.raises(LostAttemptError):
        lab.finish(attempt)


def test_a_crash_is_tried_once_more_and_then_fails(lab: Lab) -> None:
    worker = lab.worker()
    job = lab.submit()
    for status in (Status.ACCEPTED, Status.FAILED):
        lab.jobs.settle(lab.claim(worker).token.partition(".")[2], Lost(End.CRASHED, "signal 11"))
        assert lab.status(job).status is status
    assert lab.status(job).end is End.CRASHED


def test_the_third_lost_worker_fails_the_job(lab: Lab) -> None:
    job = lab.submit()
    for status in (Status.ACCEPTED, Status.ACCEPTED, Status.FAILED):
        worker = lab.worker()
        lab.claim(worker)
        lab.lose(worker)
        assert lab.status(job).status is status
    assert lab.status(job).end is End.WORKERS_LOST


def test_a_hand_back_spends_no_try_and_the_fifth_fails_the_job(lab: Lab) -> None:
    job = lab.submit()
    for number in range(1, 6):
        worker = lab.worker()
        attempt = lab.claim(worker)
        lab.jobs.hand_back(attempt.token.partition(".")[2])
        lab.jobs.leave(worker)
        found = lab.status(job)
        assert (found.hand_backs, found.losses, found.crashes) == (number, 0, 0)
        assert found.status is (Status.FAILED if number == 5 else Status.ACCEPTED)
    assert lab.status(job).end is End.INTERRUPTED


def test_a_leaving_worker_hands_back_what_it_holds(lab: Lab) -> None:
    worker = lab.worker()
    lab.submit()
    attempt = lab.claim(worker)
    lab.jobs.leave(worker)
    assert lab.status(attempt).status is Status.ACCEPTED
    assert lab.jobs.workers() == ()
    assert lab.claim(lab.worker()).job_id == attempt.job_id


def test_an_exception_fails_the_job_and_a_retry_waits_for_its_time(lab: Lab) -> None:
    worker = lab.worker()
    job = lab.submit()
    lab.finish(lab.claim(worker), Finish(end=End.EXCEPTION, detail="no luck", retry_after=100))
    found = lab.status(job)
    assert (found.status, found.retries, found.message) == (Status.ACCEPTED, 1, "no luck")
    assert found.waiting is not None
    assert found.waiting.reason == "retry"
    assert lab.jobs.claim(lab.child(worker), (OFFER,)) is None
    lab.client.zadd(f"{lab.prefix}:delayed", {job.id: 1})
    lab.swept_ago(lab.settings.beat_seconds)
    lab.jobs.sweep()
    attempt = lab.claim(worker)
    assert attempt.retries == 1
    lab.finish(attempt, Finish(end=End.EXCEPTION, detail="no luck"))
    assert (lab.status(job).status, lab.status(job).end) == (Status.FAILED, End.EXCEPTION)


def test_a_job_that_no_worker_takes_says_so_and_fails_after_its_time(lab: Lab) -> None:
    job = lab.submit()
    waiting = lab.status(job).waiting
    assert waiting is not None
    assert waiting.reason == "no-worker"
    lab.swept_ago(lab.settings.beat_seconds)
    lab.jobs.sweep()
    assert lab.status(job).status is Status.ACCEPTED
    short = Lab(lab.settings.model_copy(update={"no_worker_seconds": 0}))
    short.swept_ago(lab.settings.beat_seconds)
    short.jobs.sweep()
    assert (lab.status(job).status, lab.status(job).end) == (Status.FAILED, End.NO_WORKER)


def test_a_job_that_waits_longer_than_its_process_allows_expires_in_the_queue(lab: Lab) -> None:
    swept, claimed = lab.submit(queue_seconds=60), lab.submit(queue_seconds=60)
    worker = lab.worker()
    lab.client.zadd(f"{lab.prefix}:due", {swept.id: 1})
    lab.swept_ago(lab.settings.beat_seconds)
    lab.jobs.sweep()
    assert lab.status(swept).end is End.EXPIRED_IN_QUEUE
    assert lab.claim(worker).job_id == claimed.id


# 4. Dismissal


def test_dismissing_a_running_job_tells_its_worker_and_kills_the_token(lab: Lab) -> None:
    worker = lab.worker()
    lab.submit()
    attempt = lab.claim(worker)
    with lab.client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(lab.jobs.control_channel(worker))
        channel.get_message(timeout=5)
        assert lab.jobs.dismiss(attempt.job_id).status is Status.DISMISSED
        message = channel.get_message(timeout=5)
    assert message is not None
    assert message["data"].decode() == attempt.token
    with pytest.raises(LostAttemptError):
        lab.finish(attempt)
    assert lab.jobs.dismiss(attempt.job_id).status is Status.DISMISSED


def test_a_thousand_dismissals_leave_an_empty_queue(lab: Lab) -> None:
    jobs = [lab.submit(f"owner-{number % 7}") for number in range(1000)]
    for job in jobs:
        lab.jobs.dismiss(job.id)
    assert lab.jobs.claim(lab.child(lab.worker()), (OFFER,)) is None
    for job in jobs:
        lab.jobs.delete(job.id)
    assert not [key for key in lab.stored() if key.startswith((":j:", ":q:", ":t:", ":o", ":p:", ":all"))]


# 5. Nothing twice by accident


def test_fifty_equal_requests_at_once_make_one_job(lab: Lab) -> None:
    found: list[str] = []
    gate = threading.Barrier(50)

    def ask() -> None:
        gate.wait()
        found.append(lab.jobs.submit(lab.new(), idempotency=Idempotency("ann POST /x", "key", "body")).job.id)

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 50
    assert len(set(found)) == 1
    assert len(lab.jobs.list(JobFilter()).jobs) == 1


def test_an_idempotency_key_with_another_body_is_refused_and_another_scope_is_another_key(lab: Lab) -> None:
    lab.jobs.submit(lab.new(), idempotency=Idempotency("ann", "key", "body"))
    with pytest.raises(IdempotencyMismatchError):
        lab.jobs.submit(lab.new(), idempotency=Idempotency("ann", "key", "other"))
    assert lab.jobs.submit(lab.new("bob"), idempotency=Idempotency("bob", "key", "other")).how == "new"


def test_the_key_of_a_deleted_job_is_a_conflict(lab: Lab) -> None:
    job = lab.jobs.submit(lab.new(), idempotency=Idempotency("ann", "key", "body")).job
    lab.jobs.dismiss(job.id)
    lab.jobs.delete(job.id)
    with pytest.raises(ConflictError):
        lab.jobs.submit(lab.new(), idempotency=Idempotency("ann", "key", "body"))


def test_equal_work_is_answered_from_the_earlier_result_and_its_bytes_live_until_the_last_job_goes(lab: Lab) -> None:
    first = lab.submit(equal_work="same")
    attempt = lab.claim(lab.worker())
    long = lab.jobs.put_output(attempt.token, attempt.job_id, "result", "text/plain", b"x" * 3_000_000)
    lab.finish(attempt, Finish((long,)))
    copied = lab.jobs.submit(lab.new(equal_work="same"))
    assert (copied.how, copied.job.status, copied.job.same_as) == ("copied", Status.SUCCESSFUL, first.id)
    lab.jobs.delete(first.id)
    assert b"".join(lab.jobs.output_chunks(copied.job.outputs[0])) == b"x" * 3_000_000
    lab.jobs.delete(copied.job.id)
    assert not [key for key in lab.stored() if key.startswith((":b:", ":j:", ":owners"))]


def test_equal_work_under_way_is_joined_and_shares_the_result(lab: Lab) -> None:
    worker = lab.worker()
    first = lab.submit(equal_work="same")
    attempt = lab.claim(worker)
    joined = lab.jobs.submit(lab.new(equal_work="same"))
    assert joined.how == "joined"
    waiting = lab.status(joined.job).waiting
    assert waiting is not None
    assert (waiting.reason, waiting.joined) == ("joined", first.id)
    assert lab.jobs.claim(lab.child(worker), (OFFER,)) is None
    lab.finish(attempt)
    found = lab.status(joined.job)
    assert (found.status, found.outputs, found.same_as) == (Status.SUCCESSFUL, DONE.outputs, first.id)


def test_a_joined_job_fails_alike_when_the_work_is_at_fault(lab: Lab) -> None:
    lab.submit(equal_work="same")
    attempt = lab.claim(lab.worker())
    joined = lab.submit(equal_work="same")
    lab.finish(attempt, Finish(end=End.EXCEPTION, detail="no luck"))
    assert (lab.status(joined).status, lab.status(joined).end) == (Status.FAILED, End.EXCEPTION)
    assert lab.jobs.submit(lab.new(equal_work="same")).how == "new"


def test_a_joined_job_goes_on_by_itself_when_the_first_is_dismissed(lab: Lab) -> None:
    worker = lab.worker()
    first = lab.submit(equal_work="same")
    second, third = lab.submit(equal_work="same"), lab.submit(equal_work="same")
    lab.jobs.dismiss(first.id)
    attempt = lab.claim(worker)
    assert attempt.job_id == min(second.id, third.id)
    assert lab.jobs.claim(lab.child(worker), (OFFER,)) is None
    lab.finish(attempt)
    assert {lab.status(second).status, lab.status(third).status} == {Status.SUCCESSFUL}


# 6. Fair


@pytest.mark.slow
def test_ten_thousand_jobs_of_one_owner_delay_anothers_next_by_one_job(lab: Lab) -> None:
    other = Offer("other", "face", "v1")
    for number in range(10_000):
        lab.submit("crowd", "echo" if number % 2 else "other")
    worker = lab.worker(OFFER, other)
    for _ in range(5):
        lab.claim(worker, OFFER, other)
    mine = lab.submit("me")
    before = 0
    while lab.claim(worker, OFFER, other).job_id != mine.id:
        before += 1
    assert before <= 1


def test_jobs_of_a_paused_process_do_not_push_back_their_owner_elsewhere(lab: Lab) -> None:
    other = Offer("other", "face", "v1")
    lab.jobs.pause("other")
    for _ in range(500):
        lab.submit("me", "other")
    for _ in range(50):
        lab.submit("crowd", "echo")
    worker = lab.worker(OFFER, other)
    mine = lab.submit("me", "echo")
    claimed = [lab.claim(worker, OFFER, other).job_id for _ in range(3)]
    assert mine.id in claimed


def test_urgency_orders_an_owners_own_jobs_only(lab: Lab) -> None:
    worker = lab.worker()
    usual, urgent = lab.submit("ann"), lab.submit("ann", priority=0)
    others = [lab.submit("bob"), lab.submit("bob")]
    order = [lab.claim(worker).job_id for _ in range(4)]
    assert order.index(urgent.id) < order.index(usual.id)
    assert order.index(others[0].id) < order.index(usual.id)


@pytest.mark.parametrize("owners", ["aaaa", "abab", "aabbbc", "cab" * 4, "aaaaabbbcdd"])
def test_the_position_that_is_told_is_how_many_claims_come_first(lab: Lab, owners: str) -> None:
    worker = lab.worker()
    for _ in range(3):
        lab.submit("a")
        lab.claim(worker)
    jobs = [lab.submit(owner, priority=number % 3 + 1) for number, owner in enumerate(owners)]
    told = {}
    for job in jobs:
        waiting = lab.status(job).waiting
        assert waiting is not None
        told[job.id] = waiting.position
    order = [lab.claim(worker).job_id for _ in jobs]
    assert told == {job_id: place for place, job_id in enumerate(order)}


# Concurrency limits, pauses, wake-ups


def test_a_limit_of_concurrent_runs_holds_across_workers_and_every_end_frees_a_place(lab: Lab) -> None:
    limited = replace(OFFER, concurrent=1)
    one, two = lab.worker(limited), lab.worker(limited)
    jobs = [lab.submit() for _ in range(6)]
    ends: list[Callable[[Attempt], object]] = [
        lab.finish,
        lambda attempt: lab.finish(attempt, Finish(end=End.EXCEPTION, detail="no")),
        lambda attempt: lab.jobs.dismiss(attempt.job_id),
        lambda attempt: lab.jobs.settle(attempt.token.partition(".")[2], Lost(End.TIMED_OUT, "late")),
        lambda attempt: lab.finish(attempt, Finish(end=End.EXCEPTION, detail="later", retry_after=1000)),
    ]
    for end in ends:
        attempt = lab.claim(one, limited)
        waiting = lab.status(jobs[-1]).waiting
        assert waiting is not None
        assert waiting.reason in {"limit", "position"}
        assert lab.jobs.claim(lab.child(two), (limited,)) is None
        end(attempt)
    lab.claim(two, limited)
    lab.lose(two)
    assert lab.claim(one, limited).job_id == jobs[-1].id
    assert lab.client.hgetall(f"{lab.prefix}:running") == {b"echo": b"1"}


def test_a_paused_process_starts_nothing_until_it_is_resumed(lab: Lab) -> None:
    worker = lab.worker()
    for name in ("echo", ""):
        job = lab.submit()
        lab.jobs.pause(name)
        waiting = lab.status(job).waiting
        assert waiting is not None
        assert waiting.reason == "paused"
        assert lab.jobs.claim(lab.child(worker), (OFFER,)) is None
        assert next(queue for queue in lab.jobs.queues() if queue.process == "echo").paused
        lab.jobs.resume(name)
        assert lab.claim(worker).job_id == job.id


def test_two_waiting_children_are_woken_for_two_jobs(lab: Lab) -> None:
    worker = lab.worker()
    found: list[Attempt | None] = []
    children = [lab.child(worker), lab.child(worker)]
    threads = [
        threading.Thread(target=lambda child=child: found.append(lab.jobs.wait_and_claim(child, (OFFER,), 2)))
        for child in children
    ]
    for thread in threads:
        thread.start()
    lab.submit()
    lab.submit()
    for thread in threads:
        thread.join(10)
    assert sorted(attempt is not None for attempt in found) == [True, True]


def test_a_child_that_leaves_work_puts_the_next_token_and_a_sweep_replaces_a_lost_one(lab: Lab) -> None:
    worker = lab.worker()
    lab.submit()
    lab.submit()
    assert lab.jobs.wait_and_claim(lab.child(worker), (OFFER,), 1) is not None
    wake = f"{lab.prefix}:wake:echo@face"
    assert lab.client.llen(wake) == 1
    lab.client.delete(wake)
    lab.swept_ago(lab.settings.beat_seconds)
    lab.jobs.sweep()
    assert lab.client.llen(wake) == 1


# 7. Bounded


def test_an_owner_with_too_many_unfinished_jobs_is_refused_and_others_are_not(
    server: str, make_settings: Callable[..., Settings]
) -> None:
    lab = Lab(make_settings(server, queued_jobs_per_owner=2))
    job = lab.submit()
    lab.submit()
    with pytest.raises(TooManyJobsError):
        lab.submit()
    lab.submit("bob")
    lab.jobs.dismiss(job.id)
    lab.submit()


def test_an_owners_stored_bytes_are_bounded_and_counted_back(
    server: str, make_settings: Callable[..., Settings]
) -> None:
    lab = Lab(make_settings(server, stored_bytes_per_owner=10_000))
    worker = lab.worker()
    job = lab.submit()
    attempt = lab.claim(worker)
    output = lab.jobs.put_output(attempt.token, attempt.job_id, "result", "text/plain", b"x" * 20_000)
    lab.finish(attempt, Finish((output,)))
    assert lab.status(job).end is End.RESULT_NOT_STORED
    with pytest.raises(StorageFullError):
        lab.jobs.submit(NewJob(new_id(), "echo", "ann", b'"' + b"x" * 20_000 + b'"', "face", "v1"))
    lab.jobs.delete(job.id)
    assert lab.client.hgetall(f"{lab.prefix}:owners") == {}


def test_long_inputs_come_back_whole_and_go_with_the_job(lab: Lab) -> None:
    text = b'{"table": "' + b"y" * 2_500_000 + b'"}'
    job = lab.jobs.submit(NewJob(new_id(), "echo", "ann", text, "face", "v1")).job
    attempt = lab.claim(lab.worker())
    assert attempt.inputs == text
    lab.finish(attempt)
    assert lab.jobs.inputs(lab.jobs.get(job.id)) == text
    assert all(lab.client.ttl(f"{lab.prefix}{key}") == -1 for key in lab.stored() if key.startswith(":b:"))
    lab.jobs.delete(job.id)
    assert not [key for key in lab.stored() if key.startswith(":b:")]


def test_an_output_that_no_finish_names_expires_by_itself(lab: Lab) -> None:
    lab.submit()
    attempt = lab.claim(lab.worker())
    lab.jobs.put_output(attempt.token, attempt.job_id, "result", "text/plain", b"x" * 5000)
    assert all(lab.client.ttl(f"{lab.prefix}{key}") > 0 for key in lab.stored() if key.startswith(":b:"))


def test_a_finish_whose_output_has_expired_fails_the_job(lab: Lab) -> None:
    lab.submit()
    attempt = lab.claim(lab.worker())
    output = lab.jobs.put_output(attempt.token, attempt.job_id, "result", "text/plain", b"x" * 5000)
    lab.client.delete(f"{lab.prefix}:b:{output.blob}:0")
    lab.finish(attempt, Finish((output,)))
    assert lab.status(attempt).end is End.RESULT_NOT_STORED


def test_finished_jobs_expire_with_everything_that_they_had(
    server: str, make_settings: Callable[..., Settings]
) -> None:
    lab = Lab(make_settings(server, retention_seconds=1))
    worker = lab.worker()
    kept = lab.submit("bob")
    for _ in range(3):
        lab.submit()
    for _ in range(4):
        attempt = lab.claim(worker)
        if attempt.job_id != kept.id:
            output = lab.jobs.put_output(attempt.token, attempt.job_id, "result", "text/plain", b"x" * 5000)
            lab.finish(attempt, replace(DONE, outputs=(output,), log=b"words"))
    late = Lab(lab.settings.model_copy(update={"retention_seconds": 0}))
    late.swept_ago(lab.settings.beat_seconds)
    late.jobs.sweep()
    assert [job.id for job in lab.jobs.list(JobFilter()).jobs] == [kept.id]
    assert {key for key in lab.stored() if key.startswith((":j:", ":o:", ":p:", ":b:", ":l:"))} == {
        ":j:" + kept.id, ":o:bob", ":p:echo",
    }  # fmt: skip


def _fill(lab: Lab) -> None:
    """Write until not even a small value is taken."""
    for size in (100_000, 10_000, 1000, 100):
        for number in itertools.count():
            try:
                lab.client.set(f"filler:{size}:{number}", "x" * size)
            except OutOfMemoryError:
                break


def test_a_full_redis_refuses_submissions_and_lets_everything_else_go_on(
    start_server: Callable[..., Any], make_settings: Callable[..., Settings]
) -> None:
    lab = Lab(make_settings(start_server("redis", maxmemory="16mb", maxmemory_policy="noeviction").url))
    worker = lab.worker()
    jobs = [lab.submit() for _ in range(4)]
    attempts = [lab.claim(worker) for _ in range(3)]
    _fill(lab)
    with pytest.raises(StorageFullError):
        lab.submit()
    with pytest.raises(StorageFullError):
        lab.jobs.put_output(attempts[0].token, attempts[0].job_id, "result", "text/plain", b"x" * 5000)
    assert lab.beat(worker, held={one.token.partition(".")[2]: one.token for one in attempts}) == frozenset()
    lab.jobs.progress(attempts[0].job_id, attempts[0].token, 10, "going on")
    lab.finish(attempts[0])
    lab.finish(attempts[1], Finish(end=End.RESULT_NOT_STORED, detail="no room"))
    lab.jobs.dismiss(attempts[2].job_id)
    assert lab.claim(worker).job_id == jobs[3].id
    assert lab.status(jobs[0]).status is Status.SUCCESSFUL
    assert len(lab.jobs.list(JobFilter()).jobs) == 4
    late = Lab(lab.settings.model_copy(update={"retention_seconds": 0}))
    late.jobs.sweep()
    assert [job.id for job in lab.jobs.list(JobFilter()).jobs] == [jobs[3].id]


# 9. Versions side by side


def test_a_worker_of_another_release_takes_a_job_of_the_same_interface(lab: Lab) -> None:
    older = Lab(lab.settings, release="0.9.0")
    job = lab.submit()
    attempt = older.claim(older.worker())
    assert (attempt.job_id, attempt.release) == (job.id, "1.0.0")
    older.finish(attempt)
    found = lab.status(job)
    assert (found.release, found.run_release) == ("1.0.0", "0.9.0")


def test_a_changed_interface_is_taken_by_a_later_release_only(lab: Lab) -> None:
    changed = replace(OFFER, interface="other")
    older, later = Lab(lab.settings, release="1.0.0-rc.1"), Lab(lab.settings, release="1.0.1")
    job = lab.submit()
    assert older.jobs.claim(older.child(older.worker(changed)), (changed,)) is None
    attempt = later.claim(later.worker(changed), changed)
    assert (attempt.job_id, attempt.interface) == (job.id, "face")


def test_a_worker_that_lacks_a_process_leaves_its_jobs_to_one_that_has_it(lab: Lab) -> None:
    other = Offer("other", "face", "v1")
    job = lab.submit()
    assert lab.jobs.claim(lab.child(lab.worker(other)), (other,)) is None
    assert lab.claim(lab.worker()).job_id == job.id


# Lists


def test_a_list_is_newest_first_and_its_pages_are_stable_while_jobs_are_added(lab: Lab) -> None:
    made = [lab.submit().id for _ in range(25)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = lab.jobs.list(JobFilter(), limit=10, cursor=cursor)
        seen += [job.id for job in page.jobs]
        lab.submit()
        cursor = page.next_cursor
        if not cursor:
            break
    assert seen == made[::-1]


def test_a_list_filters_by_owner_process_status_time_and_duration(lab: Lab) -> None:
    worker = lab.worker()
    first = lab.submit("ann")
    second = lab.submit("bob")
    third = lab.submit("ann", "other")
    lab.finish(lab.claim(worker))
    found = lab.status(first)

    def ids(wanted: JobFilter) -> list[str]:
        return [job.id for job in lab.jobs.list(wanted).jobs]

    assert ids(JobFilter(owner="ann")) == [third.id, first.id]
    assert ids(JobFilter(processes=("echo",))) == [second.id, first.id]
    assert ids(JobFilter(processes=("echo", "other"), owner="ann")) == [third.id, first.id]
    assert ids(JobFilter(statuses=(Status.SUCCESSFUL,))) == [first.id]
    assert ids(JobFilter(created_from=second.created, created_to=second.created)) == [second.id]
    assert found.started is not None
    assert found.finished is not None
    seconds = (found.finished - found.started) / US
    assert ids(JobFilter(min_duration=seconds, max_duration=seconds)) == [first.id]
    assert ids(JobFilter(min_duration=seconds + 1)) == []


def test_one_call_looks_at_a_thousand_records_and_a_short_page_has_a_next(lab: Lab) -> None:
    rare = lab.submit("rare")
    for _ in range(1500):
        lab.submit("crowd")
    page = lab.jobs.list(JobFilter(owner="rare", processes=("echo",)))
    assert page.jobs == ()
    assert page.next_cursor
    rest = lab.jobs.list(JobFilter(owner="rare", processes=("echo",)), cursor=page.next_cursor)
    assert [job.id for job in rest.jobs] == [rare.id]
    assert rest.next_cursor == ""


def test_a_cursor_that_no_link_gave_is_refused(lab: Lab) -> None:
    with pytest.raises(InvalidRequestError):
        lab.jobs.list(JobFilter(), cursor="x')")


# Deleting, re-running, call-backs


def test_an_unfinished_job_cannot_be_deleted_and_a_deleted_one_is_gone(lab: Lab) -> None:
    job = lab.submit()
    with pytest.raises(ConflictError):
        lab.jobs.delete(job.id)
    lab.jobs.dismiss(job.id)
    lab.jobs.delete(job.id)
    for call in (lab.jobs.get, lab.jobs.status, lab.jobs.dismiss, lab.jobs.delete):
        with pytest.raises(NoSuchJobError):
            call(job.id)


def test_a_rerun_is_a_new_job_with_the_same_inputs_for_the_same_owner(lab: Lab) -> None:
    worker = lab.worker()
    job = lab.submit("bob")
    lab.finish(lab.claim(worker), Finish(end=End.EXCEPTION, detail="no"))
    again = lab.jobs.rerun(job.id).job
    attempt = lab.claim(worker)
    assert (attempt.job_id, attempt.owner, attempt.inputs) == (again.id, "bob", b"{}")


def test_a_call_back_is_queued_with_the_change_and_comes_again_until_it_is_answered_for(lab: Lab) -> None:
    worker = lab.worker()
    job = lab.submit(subscriber={"successUri": "https://example.org/s", "inProgressUri": "https://example.org/p"})
    attempt = lab.claim(worker)
    running = lab.jobs.due_call_backs()
    assert [(one.url, one.status) for one in running] == [("https://example.org/p", Status.RUNNING)]
    assert lab.jobs.due_call_backs() == ()
    lab.jobs.call_back_done(running[0], retry_after=0)
    again = lab.jobs.due_call_backs()
    assert [(one.id, one.tries) for one in again] == [(running[0].id, 1)]
    lab.jobs.call_back_done(again[0])
    lab.finish(attempt)
    assert [(one.job_id, one.status) for one in lab.jobs.due_call_backs()] == [(job.id, Status.SUCCESSFUL)]


def test_an_owners_signing_secret_stays_the_same(lab: Lab) -> None:
    assert lab.jobs.signing_secret("ann") == lab.jobs.signing_secret("ann") != lab.jobs.signing_secret("bob")


@pytest.mark.parametrize("owner", ["Zoë|@ann%d*", "日本", "a b", "x" * 200, "%", "^(.-)@"])
def test_any_owners_name_works_everywhere(lab: Lab, owner: str) -> None:
    worker = lab.worker()
    job = lab.submit(owner)
    assert lab.jobs.get(job.id).owner == owner
    assert lab.status(job).waiting is not None
    assert lab.claim(worker).owner == owner
    lab.lose(worker)
    lab.finish(lab.claim(lab.worker()))
    assert [one.id for one in lab.jobs.list(JobFilter(owner=owner)).jobs] == [job.id]
    lab.jobs.delete(job.id)
    assert lab.client.hgetall(f"{lab.prefix}:owners") == {}


def test_events_are_told_at_every_change_with_rising_revisions(lab: Lab) -> None:
    worker = lab.worker()
    new = lab.new()
    with lab.client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(lab.jobs.event_channel(new.id))
        channel.get_message(timeout=5)
        lab.jobs.submit(new)
        attempt = lab.claim(worker)
        lab.jobs.progress(new.id, attempt.token, 40, "half way")
        lab.finish(attempt)
        told = []
        while message := channel.get_message(timeout=1):
            told.append(message["data"].decode())
    assert told == ["2 running 0", "3 running 40", "4 successful 100"]
