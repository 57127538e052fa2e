"""Submitting: repeated, refused at a limit, by blob, under an Idempotency-Key, and by any owner's name."""

from collections.abc import Callable

import pytest
from support.lab import DONE, Lab

from gristmill.errors import ConflictError, StorageFullError, TooManyJobsError, UnavailableError
from gristmill.job import Idempotency, JobFilter, NewJob, Offer, Output, Status, new_id
from gristmill.settings import Settings

KEY = Idempotency("ann POST /x", "key", "body")
LONG = b'{"table": "' + b"y" * 2_500_000 + b'"}'


@pytest.fixture
def lab(server: str, make_settings: Callable[..., Settings]) -> Lab:
    return Lab(make_settings(server, queued_jobs_per_owner=2, stored_bytes_per_owner=4_000_000))


def test_the_submission_that_took_the_last_place_may_be_sent_again(lab: Lab) -> None:
    lab.submit()
    last = lab.new()
    assert lab.jobs.submit(last).job == lab.jobs.submit(last).job
    with pytest.raises(TooManyJobsError):
        lab.submit()
    lab.check()


def test_the_submission_that_took_the_last_bytes_may_be_sent_again(lab: Lab) -> None:
    last = NewJob(new_id(), "echo", "ann", LONG, "face", "v1")
    assert lab.jobs.submit(last).job == lab.jobs.submit(last).job
    with pytest.raises(StorageFullError):
        lab.jobs.submit(NewJob(new_id(), "echo", "ann", LONG, "face", "v1"))
    assert lab.claim(lab.worker()).inputs == LONG
    lab.check()


def test_a_repeated_submission_says_the_same_about_how_it_was_answered(lab: Lab) -> None:
    worker = lab.worker()
    with_key = lab.new()
    assert [lab.jobs.submit(with_key, idempotency=KEY).how for _ in range(2)] == ["new", "new"]
    assert lab.jobs.submit(lab.new(), idempotency=KEY).how == "replayed"
    lab.jobs.dismiss(with_key.id)
    first, joined = lab.new(equal_work="same"), lab.new(equal_work="same")
    assert lab.jobs.submit(first).how == "new"
    assert [lab.jobs.submit(joined).how for _ in range(2)] == ["joined", "joined"]
    lab.finish(lab.claim(worker))
    copied = lab.new(equal_work="same")
    assert [lab.jobs.submit(copied).how for _ in range(2)] == ["copied", "copied"]
    assert lab.jobs.get(copied.id).same_as == first.id
    lab.check()


def test_a_key_whose_job_was_deleted_is_refused_rather_than_run_again(lab: Lab) -> None:
    job = lab.jobs.submit(lab.new(), idempotency=KEY).job
    lab.jobs.dismiss(job.id)
    lab.jobs.delete(job.id)
    with pytest.raises(ConflictError):
        lab.jobs.submit(lab.new(), idempotency=KEY)
    assert lab.jobs.list(JobFilter()).jobs == ()


def test_a_key_is_remembered_for_a_day(lab: Lab) -> None:
    lab.jobs.submit(lab.new(), idempotency=KEY)
    (name,) = [name for name in lab.stored() if name.startswith(":i:")]
    assert 86_300 < lab.client.ttl((lab.prefix + name).encode("utf-8", "surrogateescape")) <= 86_400


def test_inputs_of_which_a_part_has_expired_are_refused_and_leave_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = lab.jobs._put_blob

    def put_and_lose(*args: object) -> Output:
        output = put(*args)  # type: ignore[arg-type]
        lab.client.delete(f"{lab.prefix}:b:{output.blob}:1")
        return output

    monkeypatch.setattr(lab.jobs, "_put_blob", put_and_lose)
    with pytest.raises(UnavailableError):
        lab.jobs.submit(NewJob(new_id(), "echo", "ann", LONG, "face", "v1"))
    assert not [name for name in lab.stored() if name.startswith((":j:", ":b:", ":all", ":owners"))]


def test_a_result_of_which_a_part_has_expired_leaves_nothing_behind(lab: Lab) -> None:
    lab.submit()
    attempt = lab.claim(lab.worker())
    outputs = tuple(
        lab.jobs.put_output(attempt.token, attempt.job_id, name, "text/plain", b"x" * 1_500_000) for name in "ab"
    )
    lab.client.delete(f"{lab.prefix}:b:{outputs[1].blob}:1")
    lab.finish(attempt, type(DONE)(outputs))
    assert lab.status(attempt).status is Status.FAILED
    assert not [name for name in lab.stored() if name.startswith(":b:")]
    lab.check()


@pytest.mark.parametrize("owner", ["Zoë|@ann%d*", "日本", "%f[%w]", "^(.-)@", ".", "q x", "a\nb", "|", "@", "*"])
@pytest.mark.parametrize("process", ["echo", "a-b", "a.b", "a+b", "%d", "(x)"])
def test_names_are_never_taken_for_patterns(
    redis_url: str, make_settings: Callable[..., Settings], owner: str, process: str
) -> None:
    lab = Lab(make_settings(redis_url))
    offer, others = Offer(process, "face", "v1"), Offer("other", "face", "v1")
    worker = lab.worker(others, offer)
    job = lab.submit(owner, process)
    lab.check()
    assert lab.jobs.claim(lab.child(worker), (others,)) is None
    attempt = lab.claim(worker, others, offer)
    assert (attempt.job_id, attempt.owner, attempt.process) == (job.id, owner, process)
    lab.finish(attempt)
    lab.check()
    assert [one.id for one in lab.jobs.list(JobFilter(owner=owner, processes=(process, "other"))).jobs] == [job.id]
    assert sum(number for key, number in lab.jobs.attempt_counts().items() if key[:2] == (process, "successful")) == 1
